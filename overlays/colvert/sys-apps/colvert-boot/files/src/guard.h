/* Watches the way from the initrd to the system's own init, where no watchdog runs. */
#pragma once

#include "boot.h"

/* Comes back when the system has begun; restarts the machine where it does not. */
void guard(int efivars, const struct boot *boot);
