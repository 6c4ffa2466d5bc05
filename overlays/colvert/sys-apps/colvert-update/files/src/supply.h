/* The files that a release is installed from: for each part the ways that start from what this machine has. */
#pragma once

#include "install.h"

enum { WAYS_MAX = 64 };

struct supply {
	const struct machine *machine;
	const struct release *release;
	obtain_fn *obtain;
	void *context;
	struct {
		const struct way *ways[WAYS_MAX]; /* deltas first, then whole files */
		size_t count, next;
		int file; /* of the way before `next`, or -1 */
	} parts[PARTS];
};

/* Obtains a file for every part that the release has. */
bool supply_open(struct supply *supply, const struct machine *machine, const struct release *release, obtain_fn *obtain,
                 void *context, struct problem *p);
void supply_done(struct supply *supply);
/* Makes a part in `fd` and reads it back. A delta that leads to something else is followed by the whole file. */
bool supply_put(struct supply *supply, enum part_name part, int fd, const char *name, struct problem *p);
