/* Versions, in the order of the UAPI group's version format specification (UAPI.10). */
#pragma once

#include <stdbool.h>

/* Less than, equal to or greater than 0, as strcmp. */
int version_compare(const char *a, const char *b);
/* What can be a version here: digits and letters with single dots between, the first a digit. It
 * becomes part of file names and partition labels. */
bool version_valid(const char *text);
