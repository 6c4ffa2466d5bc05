/* Variables of the firmware, through efivarfs. They outlive what a failed boot cannot write elsewhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define EFIVARS "/sys/firmware/efi/efivars"

/* The directory; -1 where the machine has no such firmware. */
int efivars_open(void);
/* What the boot loader says, in UTF-16, as ASCII; each NUL becomes a line end. */
bool loader_read(int efivars, const char *name, char *out, size_t room);
/* This package's own variable: text, at most some 1.2 KiB. */
bool failure_read(int efivars, char *out, size_t room);
bool failure_write(int efivars, const char *text);
bool failure_delete(int efivars);
