/* The metadata service over HTTP, with limits on everything: time, size, redirects, protocols. */
#pragma once

#include <curl/curl.h>

#include "service.h"

struct http {
	struct service service;
	CURL *curl;
	const char *address;
	/* CLOCK_MONOTONIC, in milliseconds */
	long long deadline;
};

/* `seconds` is the time for all requests together. False where libcurl does not start. */
bool http_open(struct http *http, const char *address, unsigned seconds);
void http_close(struct http *http);
