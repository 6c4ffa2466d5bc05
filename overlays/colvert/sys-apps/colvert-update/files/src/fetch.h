/* Files of a source: over HTTP, with limits on everything, or from a directory. */
#pragma once

#include "problem.h"
#include "release.h"

struct fetch {
	uint64_t rate; /* bytes per second; 0: no limit */
	unsigned stall_seconds;
	/* told of what was read, now and then; may be NULL */
	void (*progress)(const char *name, uint64_t have, uint64_t size);
};

/* Reads `base`/`name` whole, at most `limit` bytes. */
bool fetch_text(const struct fetch *fetch, const char *base, const char *name, size_t limit, struct blob *out,
                struct problem *p);
/* A file as the index describes it, whose length and SHA-256 were checked: an open descriptor, or -1. What comes over
 * HTTP is put below `dir`, first as NAME.part, which a later call goes on from. */
int fetch_file(const struct fetch *fetch, const char *base, const struct way *way, int dir, struct problem *p);
