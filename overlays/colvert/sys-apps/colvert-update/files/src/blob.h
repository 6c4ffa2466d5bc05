/* What lands on a disk: decoded from a file of a release, and read back to be sure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "problem.h"

/* Bytes from the start of an open file or device. `name` is for people. */
struct region {
	int fd;
	uint64_t size;
	const char *name;
};

/* Decodes one zstd frame into `target`, all of it; `old` is what a delta starts from, or NULL.
 * `format`: the frame is not what it must be. `disk`: something cannot be read or written. */
bool blob_decode(const struct region *frame, const struct region *old, const struct region *target, struct problem *p);
/* Makes what was written durable, forgets what memory has of it, and compares what the disk has. */
bool blob_check(const struct region *written, const char *sha256, struct problem *p);
bool blob_sha256(const struct region *region, char out[65], struct problem *p);
