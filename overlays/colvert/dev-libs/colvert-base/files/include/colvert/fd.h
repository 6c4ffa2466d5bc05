/* Descriptors: closed by themselves, written to whole. */
#pragma once

#include <stddef.h>

#include <colvert/auto.h>

void close_done(int *fd);
#define AUTO_FD AUTO(int, close_done)

/* Writes all of it; negative errno. */
int write_all(int fd, const void *data, size_t size);
