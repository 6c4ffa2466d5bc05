/* SHA-256 of files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Of all that an open file holds, from its start, in hexadecimal; `size` gets its length. Negative errno. */
int digest_file(int fd, char out[65], uint64_t *size);
void digest_text(const void *data, unsigned long size, char out[65]);
