/* The machine's slots and boot entries, as they are on its disk. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

struct slot {
	int usr, verity, signature; /* partition numbers */
	uint64_t usr_size, verity_size, signature_size;
	char version[40]; /* empty: nothing is in it */
	char root_hash[65];
};

struct entry {
	char name[128];
	char version[40];
	int left, done; /* -1: no counter */
};

/* Where everything is: NULL for `esp` means to ask bootctl. */
struct roots {
	const char *os_release, *cmdline, *sys, *dev, *esp, *failed;
};

struct machine {
	const struct roots *roots;
	char image_id[64], version[40], root_hash[65];
	char disk[64];
	struct slot hot, cold;
	char esp[256];
	struct entry *entries;
	size_t count;
};

bool machine_read(struct machine *machine, struct problem *p);
/* The same with other places. */
bool machine_read_from(const struct roots *roots, struct machine *machine, struct problem *p);
/* The boot entry of what runs, or NULL. */
const struct entry *machine_running(const struct machine *machine);
void machine_done(struct machine *machine);
