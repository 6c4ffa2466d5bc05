/* Loads the kernel of a boot entry for a jump without firmware and boot loader. */
#pragma once

#include "machine.h"

/* `words` are added to the entry's command line. `no-kexec` where the kernel cannot or must not. */
bool kexec_load_entry(const struct machine *machine, const struct entry *entry, const char *words, struct problem *p);
void kexec_unload(void);
