#include "http.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <colvert/say.h>

enum {
	CONNECT_MS = 5000,
	REQUEST_MS = 10000,
	FIRST_PAUSE_MS = 250,
	LONGEST_PAUSE_MS = 4000,
};

static long long now_ms(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* At least 1, since libcurl takes 0 for no limit at all. */
static long at_most(long long value, long limit) {
	return value < 1 ? 1 : value < limit ? (long)value : limit;
}

struct sink {
	struct blob *out;
	size_t limit;
	bool too_large;
};

static size_t receive(char *data, size_t one, size_t count, void *context) {
	struct sink *sink = context;
	size_t size = one * count;
	if (blob_add(sink->out, data, size, sink->limit))
		return size;
	sink->too_large = true;
	return CURL_WRITEFUNC_ERROR;
}

static void list_done(struct curl_slist **list) {
	curl_slist_free_all(*list);
}

static void set_options(struct http *http, const struct request *request, struct sink *sink) {
	CURL *curl = http->curl;
	long long left = http->deadline - now_ms();
	curl_easy_reset(curl);
	/* nothing of the environment decides where we ask, and nothing of the answer where we go on */
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, at_most(left, CONNECT_MS));
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, at_most(left, REQUEST_MS));
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->limit);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
	if (request->method)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

/* What one attempt came to; `again` where another one may come to something else, and why that is needed. */
static enum got judge(
    CURLcode code, long status, bool too_large, const struct request *request, const char **why, bool *again) {
	*again = false;
	if (too_large || code == CURLE_FILESIZE_EXCEEDED) {
		say(LEVEL_WARNING, "%s: the answer is larger than %zu bytes; it is left alone.", request->path,
		    request->limit);
		return GOT_FAILED;
	}
	if (code != CURLE_OK) {
		*again = true;
		*why = curl_easy_strerror(code);
		return GOT_FAILED;
	}
	*why = "the service is busy or broken";
	if (status == 200)
		return GOT;
	if (status == 404 || status == 204 || status == 410)
		return GOT_NONE;
	*again = status == 429 || status >= 500;
	return status >= 400 && status < 500 && status != 429 ? GOT_REFUSED : GOT_FAILED;
}

static enum got attempt(
    struct http *http, const struct request *request, struct blob *out, const char **why, bool *again) {
	char url[512];
	AUTO(struct curl_slist *, list_done) headers = request->header ? curl_slist_append(NULL, request->header) : NULL;
	struct sink sink = {out, request->limit, false};
	long status = 0;
	*again = false;
	if (snprintf(url, sizeof url, "http://%s%s", http->address, request->path) >= (int)sizeof url)
		return GOT_FAILED;
	blob_done(out);
	set_options(http, request, &sink);
	curl_easy_setopt(http->curl, CURLOPT_URL, url);
	curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
	CURLcode code = curl_easy_perform(http->curl);
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	enum got got = judge(code, status, sink.too_large, request, why, again);
	if (got == GOT && !out->data && !blob_add(out, "", 0, 0))
		return GOT_FAILED;
	if (got != GOT)
		blob_done(out);
	if (got == GOT_FAILED && !*again && !sink.too_large && code != CURLE_FILESIZE_EXCEEDED)
		say(LEVEL_WARNING, "%s: status %ld is no answer.", request->path, status);
	return got;
}

static enum got ask(struct service *service, const struct request *request, struct blob *out) {
	struct http *http = (struct http *)service;
	long pause = FIRST_PAUSE_MS;
	for (;;) {
		bool again = false;
		const char *why = "";
		if (http->deadline - now_ms() <= 0)
			return GOT_FAILED;
		enum got got = attempt(http, request, out, &why, &again);
		long long left = http->deadline - now_ms();
		if (!again)
			return got;
		if (left <= pause) {
			say(LEVEL_WARNING, "%s: no answer in the time there was: %s.", request->path, why);
			http->deadline = now_ms();
			return GOT_FAILED;
		}
		nanosleep(&(struct timespec){pause / 1000, pause % 1000 * 1000000}, NULL);
		pause = at_most(2LL * pause, LONGEST_PAUSE_MS);
	}
}

bool http_open(struct http *http, const char *address, unsigned seconds) {
	/* not the parts for TLS: there is nothing but a link-local address to talk to */
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		return false;
	*http = (struct http){{ask}, curl_easy_init(), address, now_ms() + seconds * 1000LL};
	return http->curl != NULL;
}

void http_close(struct http *http) {
	curl_easy_cleanup(http->curl);
	curl_global_cleanup();
}
