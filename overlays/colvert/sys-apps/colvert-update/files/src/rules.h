/* Whether a release may come onto this machine. A pure function: it looks at nothing but what it is given. */
#pragma once

#include "problem.h"
#include "release.h"

struct facts {
	char image_id[64], version[40], architecture[16];
	/* the release that the next boot takes; empty where that is the running one */
	char pending[40];
	/* of the cold slot; 0: not known, so not compared */
	uint64_t usr_size, verity_size, signature_size;
};

struct wishes {
	char channel[64];
	bool allow_older, allow_failed;
};

/* What is known of an earlier try of the release on this machine; NULL where there was none. */
struct failed;

enum verdict { VERDICT_TAKE, VERDICT_RUNNING, VERDICT_PENDING, VERDICT_REFUSED };

/* Everything but the version: may this machine have releases such as this one at all? */
bool rules_fit(const struct release *release, const struct facts *facts, const struct wishes *wishes, uint64_t now,
               struct problem *p);
enum verdict rules_judge(
    const struct release *release, const struct facts *facts, const struct wishes *wishes, const struct failed *failed,
    uint64_t now, struct problem *p);
