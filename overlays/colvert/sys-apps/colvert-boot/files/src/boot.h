/* This boot: which entry, which version, and whether its attempts are counted. */
#pragma once

#include <stdbool.h>

#include "entry.h"
#include "note.h"

struct boot {
	char id[40];
	char entry_name[160]; /* "" where nobody says */
	struct entry entry;
	bool counted; /* by the boot loader, or because kexec started a new entry */
	bool kexec;
};

bool boot_read(int efivars, struct boot *out);
/* An empty note of this boot, as of now. */
struct note boot_note(const struct boot *boot);
