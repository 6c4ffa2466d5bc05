#include "http.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { CONNECT_SECONDS = 30, REDIRECTS = 5, SLOWEST = 1000, BUFFER_LEAST = 1024, BUFFER_MOST = 64 << 10 };

struct transfer {
	CURL *curl;
	struct sink *sink;
	struct problem *p;
	uint64_t rate, offset;
	/* how much came since when */
	uint64_t taken;
	long long begun;
	/* of the Content-Range header; -1 without one */
	int64_t first, total;
	bool started, refused;
};

/* "Content-Range: bytes FIRST-LAST/TOTAL". Each answer begins anew: a redirect's headers do not count. */
static size_t header(char *data, size_t one, size_t count, void *context) {
	static const char name[] = "content-range:";
	struct transfer *transfer = context;
	size_t size = one * count;
	char line[128];
	int64_t first, last, total;
	if (size >= 5 && strncmp(data, "HTTP/", 5) == 0)
		transfer->first = transfer->total = -1;
	if (size < sizeof line && size > sizeof name && strncasecmp(data, name, sizeof name - 1) == 0) {
		memcpy(line, data, size);
		line[size] = '\0';
		if (sscanf(line + sizeof name - 1, " bytes %" SCNd64 "-%" SCNd64 "/%" SCNd64, &first, &last, &total) == 3 &&
		    first >= 0 && last >= first && total > last) {
			transfer->first = first;
			transfer->total = total;
		}
	}
	return size;
}

static bool start(struct transfer *transfer) {
	long status = 0;
	curl_off_t length = -1;
	transfer->started = true;
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (status != 206)
		return transfer->sink->start(transfer->sink, length, 0, transfer->p);
	if (transfer->first != (int64_t)transfer->offset)
		return fail(transfer->p, "network", "The server sends another part of the file than was asked for.");
	return transfer->sink->start(transfer->sink, transfer->total, (uint64_t)transfer->first, transfer->p);
}

static long long now_ms(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* Sleeps until so much may have come. libcurl's own limit lets the first megabytes pass. */
static void keep_rate(struct transfer *transfer, size_t size) {
	transfer->taken += size;
	if (!transfer->rate)
		return;
	long long left = transfer->begun + (long long)(transfer->taken * 1000.0 / (double)transfer->rate) - now_ms();
	if (left > 0)
		nanosleep(&(struct timespec){left / 1000, left % 1000 * 1000000}, NULL);
}

static size_t receive(char *data, size_t one, size_t count, void *context) {
	struct transfer *transfer = context;
	size_t size = one * count;
	if ((transfer->started || start(transfer)) && transfer->sink->take(transfer->sink, data, size, transfer->p)) {
		keep_rate(transfer, size);
		return size;
	}
	transfer->refused = true;
	return CURL_WRITEFUNC_ERROR;
}

static void set_options(CURL *curl, const struct fetch *fetch, const char *url, unsigned seconds) {
	/* who asks over TLS is not sent to where there is none */
	const char *protocols = starts_with(url, "https://") ? "https" : "http,https";
	uint64_t most = fetch->rate && fetch->rate < BUFFER_MOST ? fetch->rate : BUFFER_MOST;
	uint64_t slowest = fetch->rate && fetch->rate / 2 < SLOWEST ? fetch->rate / 2 : SLOWEST;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "colvert-update/1");
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)(most > BUFFER_LEAST ? most : BUFFER_LEAST));
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)seconds);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)slowest);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)fetch->stall_seconds);
}

/* A status that may be another one soon. */
static bool passes(long status) {
	return status == 408 || status == 429 || status >= 500;
}

static enum http_end judge(const struct transfer *transfer, CURLcode code, const char *url, const char *detail) {
	long status = 0;
	if (transfer->refused)
		return HTTP_FAILED;
	if (code == CURLE_OK)
		return HTTP_DONE;
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_HTTP_RETURNED_ERROR) {
		fail(transfer->p, "network", "%s: the server answers with status %ld. Does SOURCE= name the right directory?", url,
		     status);
		return passes(status) ? HTTP_AGAIN : HTTP_FAILED;
	}
	fail(transfer->p, "network", "%s: %s. Check the network; a download goes on from where it broke off.", url,
	     detail[0] ? detail : curl_easy_strerror(code));
	bool final = code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
	             code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_WEIRD_SERVER_REPLY;
	return final ? HTTP_FAILED : HTTP_AGAIN;
}

enum http_end http_get(
    const struct fetch *fetch, const char *url, uint64_t offset, unsigned seconds, struct sink *sink, struct problem *p) {
	static bool ready;
	char detail[CURL_ERROR_SIZE] = "", range[32];
	if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		ready = true;
	struct transfer transfer = {.curl = curl_easy_init(), .sink = sink, .p = p, .rate = fetch->rate,
	                            .offset = offset, .begun = now_ms(), .first = -1, .total = -1};
	if (!ready || !transfer.curl) {
		fail(p, "network", "libcurl does not start.");
		return HTTP_FAILED;
	}
	set_options(transfer.curl, fetch, url, seconds);
	curl_easy_setopt(transfer.curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(transfer.curl, CURLOPT_HEADERFUNCTION, header);
	curl_easy_setopt(transfer.curl, CURLOPT_HEADERDATA, &transfer);
	curl_easy_setopt(transfer.curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(transfer.curl, CURLOPT_WRITEDATA, &transfer);
	if (offset) {
		snprintf(range, sizeof range, "%" PRIu64 "-", offset);
		curl_easy_setopt(transfer.curl, CURLOPT_RANGE, range);
	}
	CURLcode code = curl_easy_perform(transfer.curl);
	enum http_end end = judge(&transfer, code, url, detail);
	/* an answer without a body has not been looked at yet */
	if (end == HTTP_DONE && !transfer.started && !start(&transfer))
		end = HTTP_FAILED;
	curl_easy_cleanup(transfer.curl);
	return end;
}
