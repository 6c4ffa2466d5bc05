/* The name of a boot entry: ID_VERSION[+LEFT[-DONE]].efi (systemd-boot's boot counting). */
#pragma once

#include <stdbool.h>

struct entry {
	char id[64], version[40];
	int left, done; /* -1: no counter */
};

/* Takes a name, with or without directories before it (also the boot loader's \\). */
bool entry_parse(const char *name, struct entry *out);
