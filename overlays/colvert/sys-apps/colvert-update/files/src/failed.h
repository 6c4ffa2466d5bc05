/* Releases that failed on this machine: /var/lib/colvert/failed/VERSION/record.json. */
#pragma once

#include "problem.h"

struct failed {
	char version[40];
	char kind[24];
	char reason[256];
	uint64_t when;
	unsigned attempts;
};

/* False where there is no record of the version. A record that cannot be read counts as one. */
bool failed_read(int root, const char *version, struct failed *failed);
/* All of them, the newest version first; at most `room`. */
size_t failed_list(int root, struct failed *out, size_t room);
