/* Where things are kept, below a root that is / but in tests. */
#pragma once

#include <stdbool.h>

#include "note.h"

#define STATE_DIR "var/lib/colvert/boot"
#define NOTES_DIR STATE_DIR "/notes"
#define LAST_GOOD STATE_DIR "/last-good"
#define FAILED_DIR "var/lib/colvert/failed"
#define PSTORE_DIR "var/lib/systemd/pstore"

/* Keeps a note of a boot below `root`; false with errno. */
bool note_keep(const char *root, const struct note *note);
/* Calls `each` for every note of a version. */
void notes_each(const char *root, const char *version, void (*each)(void *context, const struct note *), void *context);
bool notes_any(const char *root, const char *version);
void notes_drop(const char *root, const char *version);
/* Forgets that a version failed: it was found good. */
void record_drop(const char *root, const char *version);
