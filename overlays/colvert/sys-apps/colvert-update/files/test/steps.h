/* Every call that changes a disk, or waits for it, is a step. The tests end the program before the n-th of
 * them, as a kill does, n from 1 to the last. What was written is not lost by that, so nothing waits here. */
#pragma once

#include <stdbool.h>

/* Runs `act` in a process that ends at its n-th step; false where it came to its end before. */
bool interrupted(int n, bool (*act)(void *), void *context);
