/* A release, as its signed index describes it. Whatever fills one has checked every field. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A release may come without the last one: its root hash is not signed. */
enum part_name { PART_USR, PART_VERITY, PART_UKI, PART_SIGNATURE, PARTS };

/* What a delta starts from. */
struct origin {
	char version[40];
	char root_hash[65];
	uint64_t size;
	char sha256[65];
};

/* One file from which a part can be made. */
struct way {
	char name[80];
	uint64_t size;
	char sha256[65];
	bool delta;
	struct origin from;
};

struct part {
	uint64_t size;
	char sha256[65];
	struct way *ways;
	size_t count;
};

struct release {
	char version[40], image_id[64], architecture[16], channel[64], from_at_least[40];
	uint64_t created, expires;
	char root_hash[65];
	struct part parts[PARTS];
};

const char *part_word(enum part_name name);
bool release_has(const struct release *release, enum part_name name);
void release_done(struct release *release);
