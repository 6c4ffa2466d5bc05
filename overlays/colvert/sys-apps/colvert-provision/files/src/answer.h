/* What a platform told us, and how it travels from the step that asks to the step that applies it. */
#pragma once

#include <stdbool.h>

#include <colvert/util.h>

#include "bounds.h"
#include "keys.h"

struct answer {
	/* empty: the platform gives its machines no id of their own */
	char id[ID_MAX + 1];
	char host_name[HOST_NAME_LENGTH + 1];
	struct blob keys;
	struct tally tally;
	struct blob user_data;
	/* the keys are Vagrant's, which replaces them itself */
	bool vagrant;
	/* every question was answered, if only by "there is none" */
	bool complete;
};

void answer_done(struct answer *answer);

/* Takes a host name if it is one; says so where it is not. */
void answer_host_name(struct answer *answer, const char *text, size_t size);

/* Whether there is anything to apply. */
bool answer_empty(const struct answer *answer);

/* Files below `dir`; `ready` is the last of them. Negative errno. */
int answer_save(int dir, const struct answer *answer);
/* Checks everything again: the files are written by a process that talks to the network. */
int answer_load(int dir, struct answer *answer);
