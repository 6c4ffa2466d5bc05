/* Who announces the next release. A static index is one kind; a server that decides for a fleet can be another. */
#pragma once

#include "fetch.h"

/* A release on offer: its signed envelope, and the directory (URL or path) that its files are in. */
struct offer {
	struct blob envelope;
	char base[1024];
};

void offer_done(struct offer *offer);

struct source {
	/* `version`: NULL for the one that this machine should have. */
	bool (*announce)(struct source *source, const char *version, struct offer *offer, struct problem *p);
};

struct static_source {
	struct source source;
	const struct fetch *fetch;
	const char *base;
};

/* The index in a directory, as docs/reference/update-index.md has it. */
struct static_source static_source(const struct fetch *fetch, const char *base);
