/* A metadata service: what is asked, and what comes of it. Tests put one of their own in its place. */
#pragma once

#include <stddef.h>

#include <colvert/util.h>

enum got {
	GOT,         /* an answer */
	GOT_NONE,    /* the service says that there is none */
	GOT_REFUSED, /* it does not answer such questions */
	GOT_FAILED,  /* no good answer in the time there was */
};

struct request {
	const char *method; /* NULL: GET */
	const char *path;
	/* a header line, or NULL */
	const char *header;
	size_t limit;
};

struct service {
	enum got (*ask)(struct service *service, const struct request *request, struct blob *out);
};
