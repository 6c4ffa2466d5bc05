/* dm-verity's hash tree, checked from user space. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "problem.h"

/* Reads every block of `data` and of its tree in `hash`. `size`: what the tree must cover. */
bool verity_check(const char *data, const char *hash, uint64_t size, const char *root_hash, struct problem *p);
