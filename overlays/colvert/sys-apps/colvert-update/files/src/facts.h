/* What this machine is, for the rules. */
#pragma once

#include "machine.h"
#include "rules.h"

/* From os-release and the kernel; where `machine` is not NULL, from the disk too. */
bool facts_read(int root, const struct machine *machine, struct facts *facts, struct problem *p);
