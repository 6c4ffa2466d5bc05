/* Changes of slots and boot entries. The running slot is never written.
 * Whoever calls what changes something holds the lock (lock.h). */
#pragma once

#include "machine.h"
#include "release.h"

/* An open file descriptor of the file, whose size and SHA-256 were checked, or -1. */
typedef int obtain_fn(void *context, const struct way *way, struct problem *p);

bool install(
    const struct machine *machine, const struct release *release, obtain_fn *obtain, void *context, struct problem *p);
/* The boot loader takes any other entry before the running one. */
bool entry_demote(const struct machine *machine, struct problem *p);
/* The running entry is made the last choice; needs another one that can boot. */
bool rollback(const struct machine *machine, struct problem *p);
/* Forgets a release that was installed and has not been booted. */
bool cancel(const struct machine *machine, struct problem *p);
/* What the next boot takes, where that is not what runs. */
const struct entry *pending(const struct machine *machine);
/* Starts the next boot: the firmware's, or where the kernel can, a jump to it (`no-kexec` where not). */
bool reboot_machine(const struct machine *machine, bool kexec, struct problem *p);
