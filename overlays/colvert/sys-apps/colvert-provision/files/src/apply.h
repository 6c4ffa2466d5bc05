/* Applies what a platform told: keys, host name, user data; once for each instance. */
#pragma once

#include "answer.h"

struct target {
	/* the root of the file system that is written */
	int dir;
	/* false in tests: the running kernel and service manager are left alone */
	bool live;
};

/* 0, or a negative errno where not even the state could be written. */
int apply(const struct target *target, const struct answer *answer);
