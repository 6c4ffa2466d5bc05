/* One at a time: whoever changes slots or downloads holds /run/colvert/update.lock. */
#pragma once

#include "problem.h"

/* A file descriptor that holds the lock until it is closed; -1 (busy) where somebody else has it, and for longer than
 * `patience` seconds. */
int lock_take(int root, unsigned patience, struct problem *p);
