/* What the tests need: a check that says where it failed. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                       \
	do {                                                                                                   \
		if (!(condition)) {                                                                            \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
			exit(1);                                                                               \
		}                                                                                              \
	} while (0)

static inline bool same_text(const char *have, const char *want) {
	return have && strcmp(have, want) == 0;
}

#define CHECK_TEXT(have, want) CHECK(same_text((have), (want)))
