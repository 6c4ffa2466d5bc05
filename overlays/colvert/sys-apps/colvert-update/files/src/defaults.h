/* The defaults of /etc that each version brought, and what an update changed in them. */
#pragma once

#include "problem.h"

/* Records the SHA-256 of every default of the running version. */
bool defaults_record(int root, const char *version, struct problem *p);

enum change { CHANGE_ADDED, CHANGE_REMOVED, CHANGE_CHANGED };

/* `hidden`: the machine has a file of its own in that place, so the change is not seen. */
typedef void defaults_sink(void *context, enum change change, const char *path, bool hidden);

/* Each difference between two recorded versions, in the order of the paths. */
bool defaults_compare(int root, const char *from, const char *to, defaults_sink *sink, void *context, struct problem *p);
/* The version that booted before `version`; false where none is recorded. */
bool defaults_before(int root, const char *version, char out[40]);
