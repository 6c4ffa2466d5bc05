/* What is inside a unified kernel image: sections of a PE file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UKI_CMDLINE_ROOM = 4096 };

struct uki_section {
	uint64_t offset, size;
};

/* The first section of this name in what every profile has; false where there is none in the file's bounds. */
bool uki_find(int fd, const char *name, struct uki_section *out);
/* The command line without what stands around it. */
bool uki_cmdline(int fd, char out[UKI_CMDLINE_ROOM]);
/* Does the command line name this usr image? */
bool uki_names_usr(int fd, const char *root_hash);
