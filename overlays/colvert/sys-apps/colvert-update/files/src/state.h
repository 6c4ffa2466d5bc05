/* What the last look for a release came to, and when the next one is due: state.json. */
#pragma once

#include "problem.h"

#define UPDATE_STATE "var/lib/colvert/update"

struct state {
	uint64_t last_check;
	uint64_t next_attempt;
	unsigned errors; /* in a row */
	/* of the last check; empty: all was well */
	char code[24];
	char message[512];
	/* the release that it found; empty: none */
	char found[40];
};

/* A state that is missing or cannot be read is an empty one: then a check is due. */
void state_read(int root, struct state *state);
bool state_write(int root, const struct state *state, struct problem *p);
/* Takes note of a check that has ended now; `p` is NULL where it ended well. */
void state_note(struct state *state, const struct problem *p, const char *found, uint64_t now);
/* Whether the timer's turn has come. A clock that went back does not hold it up for longer than the longest pause. */
bool state_due(const struct state *state, uint64_t now);
