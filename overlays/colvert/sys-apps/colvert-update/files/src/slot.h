/* The cold slot: its size, its names, its partitions. There is no way here to the hot one. */
#pragma once

#include "machine.h"
#include "release.h"

/* Can the slot take the release? Nothing is touched. */
bool slot_fits(const struct machine *machine, const struct release *release, struct problem *p);
/* Names of nothing, so that no half-written slot is ever found by its root hash. */
bool slot_forget(const struct machine *machine, struct problem *p);
/* The names by which a UKI finds it. */
bool slot_announce(const struct machine *machine, const struct release *release, struct problem *p);

/* The device of a part of the cold slot. */
bool slot_device(const struct machine *machine, enum part_name part, char out[96], struct problem *p);
/* The same, open for writing and nobody else's; -1. */
int slot_open(const struct machine *machine, enum part_name part, struct problem *p);
/* Zeros in all of a part that was opened so. */
bool slot_wipe(const struct machine *machine, enum part_name part, int fd, struct problem *p);
/* The hot slot's, to be read; -1. */
int slot_open_hot(const struct machine *machine, enum part_name part, struct problem *p);
