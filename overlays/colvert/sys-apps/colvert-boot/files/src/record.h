/* The record of a version that failed here: /var/lib/colvert/failed/VERSION/record.json and what lies beside it. */
#pragma once

#include <dirent.h>
#include <stdbool.h>

#include "entry.h"
#include "note.h"

bool record_known(const char *root, const char *version);

/* Reads the name of an entry; true where it is a version, not the running one, that used up its
 * attempts. `+0` without attempts done was made by hand and is no failure. */
bool has_failed(const char *name, const char *running, struct entry *out);

/* Writes the record of a version from the notes and dumps below `root`, and `left` (NULL: none), what a failed boot
 * left in the firmware. Takes the boots' journals from journalctl. False where it cannot be written. */
bool record_write(const char *root, const struct entry *failed, const struct note *left);

/* Writes the records of all entries in `names` that failed. True where `left` has served: it is told, or nobody will
 * ever ask for it. */
bool records_write(const char *root, DIR *names, const char *running, const struct note *left);

/* Text as it stands in a JSON string. */
bool json_escape(const char *text, char *out, size_t room);
