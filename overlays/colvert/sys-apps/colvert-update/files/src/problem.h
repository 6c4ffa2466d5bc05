/* The one way in which something fails: a word for programs and a sentence for people. */
#pragma once

#include <stdbool.h>

#include <colvert/util.h>

/* usage busy no-source network format signature expired image-id architecture channel older
 * from-at-least failed-before slot-too-small space disk verity esp-full not-pending no-other no-kexec */
struct problem {
	const char *code;
	char text[512];
};

/* Fills it and returns false. The sentence says what to do next where there is something to do. */
bool fail(struct problem *p, const char *code, const char *format, ...) PRINTF(3, 4);
/* Exit status of a code: 2 where the release or the command was refused, 1 where something broke. */
int problem_status(const struct problem *p);
