/* One request over HTTP. What arrives goes to a sink that can refuse it. */
#pragma once

#include "fetch.h"

enum http_end {
	HTTP_DONE,
	HTTP_AGAIN,  /* another try may end better */
	HTTP_FAILED, /* and here it would not */
};

struct sink {
	/* Called before the first byte: how long the whole is (-1: the server does not say), and where in it what comes begins. */
	bool (*start)(struct sink *sink, int64_t length, uint64_t offset, struct problem *p);
	bool (*take)(struct sink *sink, const char *data, size_t size, struct problem *p);
};

/* `offset`: where to go on from, 0 for the start. */
enum http_end http_get(
    const struct fetch *fetch, const char *url, uint64_t offset, unsigned seconds, struct sink *sink, struct problem *p);
