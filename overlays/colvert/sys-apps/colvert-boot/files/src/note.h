/* What is known of one boot: who ran, and why it failed. Lines of KEY=VALUE, wherever it is kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { REASON_ROOM = 1025, NOTE_ROOM = 1400 };

struct note {
	char version[40];
	char boot[40];  /* boot id, 32 hexadecimal digits */
	char kind[16];  /* health, panic, verity, initrd, hang; "" while nothing is known */
	long long when; /* seconds since 1970 */
	char reason[REASON_ROOM];
};

bool note_format(const struct note *note, char *out, size_t room);
bool note_parse(const char *text, struct note *out);

/* What a kernel's last messages (pstore) tell: kind and reason. False where they hold no panic. */
bool note_from_dump(const char *dump, struct note *out);
/* What the initrd's last errors tell. */
void note_from_errors(const char *errors, struct note *out);
