/* ssh keys from outside, line by line: type, key, comment, and never an option. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <colvert/util.h>

/* What became of the lines. */
struct tally {
	unsigned taken, refused;
};

/* Adds each good key of `text` (authorized_keys(5) without options) to `keys`, as lines made anew. */
void keys_add(struct blob *keys, const char *text, size_t size, struct tally *tally);

/* The same for lines USER:KEY, as GCE has them. Keys that end some day are refused, since nothing
 * here would take them away in time. */
void keys_add_gce(struct blob *keys, const char *text, size_t size, struct tally *tally);
