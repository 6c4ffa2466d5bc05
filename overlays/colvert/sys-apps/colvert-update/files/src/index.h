/* The index: a document about one release. */
#pragma once

#include "problem.h"
#include "release.h"

/* Checks every field that it takes; what it does not know it leaves alone. `release` is whole or empty. */
bool index_parse(const char *data, size_t size, struct release *release, struct problem *p);
