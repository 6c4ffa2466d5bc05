/* The signed envelope of an index: DSSE 1.0.2. */
#pragma once

#include "ring.h"

enum { ENVELOPE_MAX = 1 << 20 };

/* Gives the payload where one of the signatures is by a key of the ring. */
bool dsse_open(
    const struct ring *ring, const char *data, size_t size, struct blob *payload, struct problem *p);
