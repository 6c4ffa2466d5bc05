/* Boot entries of ours: EFI/Linux/ID_VERSION[+LEFT[-DONE]].efi on the ESP (systemd-boot, "Boot Counting"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

/* Reads a file name; false where it is none of this image id. */
bool entry_parse(const char *name, const char *image_id, struct entry *out);
/* The name with other counters: -1 for none. */
bool entry_name(const char *image_id, const char *version, int left, int done, char out[128]);
/* Less than 0 where systemd-boot takes `a` before `b`. */
int entry_compare(const struct entry *a, const struct entry *b);

bool esp_list(const char *esp, const char *image_id, struct entry **out, size_t *count, struct problem *p);
/* Is there room for a new entry, once all entries of other versions than `keep` are gone? */
bool esp_room(const char *esp, const char *image_id, const char *keep, uint64_t size, struct problem *p);
/* An entry's file, to be read; -1. */
int esp_open(const char *esp, const char *name, struct problem *p);
bool esp_rename(const char *esp, const char *from, const char *to, struct problem *p);
/* Removes all entries of other versions than `keep`, and what an interrupted try has left. */
bool esp_remove_others(const char *esp, const char *image_id, const char *keep, struct problem *p);

/* A new entry: its file under a name that no boot loader looks at, to be filled; then in place. */
int esp_begin(const char *esp, const char *name, uint64_t size, struct problem *p);
bool esp_commit(const char *esp, const char *name, struct problem *p);
