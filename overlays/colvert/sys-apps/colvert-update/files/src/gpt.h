/* The partition table: reading it, and naming partitions anew. Nothing here moves or resizes one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

#define GPT_EMPTY "_empty"

enum {
	GPT_LABEL_LENGTH = 36, /* UTF-16 units in the table; ours are ASCII */
	GPT_LABEL_ROOM = 3 * GPT_LABEL_LENGTH + 1,
	GPT_UUID_ROOM = 37,
};

enum gpt_type { GPT_OTHER, GPT_USR, GPT_VERITY, GPT_SIGNATURE };

struct gpt_partition {
	int number; /* from 1, as the kernel counts */
	enum gpt_type type;
	uint64_t size;
	char label[GPT_LABEL_ROOM];
	char uuid[GPT_UUID_ROOM];
};

/* What a partition shall be called. */
struct gpt_name {
	int number;
	char label[GPT_LABEL_ROOM];
	char uuid[GPT_UUID_ROOM];
};

/* All partitions in order of their numbers; the caller frees `out`. */
bool gpt_read(const char *disk, struct gpt_partition **out, size_t *count, struct problem *p);
/* Gives all of them their names in one write of the table, which is on the disk when this returns. */
bool gpt_rename(const char *disk, const struct gpt_name *names, size_t count, struct problem *p);
/* The device of a partition. */
bool gpt_device(const char *disk, int number, char *out, size_t room);

void gpt_random_uuid(char out[GPT_UUID_ROOM]);
/* The first 32 of `hex` as a UUID: half a root hash. */
void gpt_uuid_of(const char *hex, char out[GPT_UUID_ROOM]);
