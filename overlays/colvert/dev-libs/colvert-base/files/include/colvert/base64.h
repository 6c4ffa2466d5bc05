/* Base64, as RFC 4648 has it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <colvert/util.h>

/* Adds the decoded bytes to `out`. White space between the characters is allowed where `loose`;
 * anything else that is no Base64, and padding in the wrong place, is refused. */
bool base64_decode(const char *text, size_t size, bool loose, size_t limit, struct blob *out);
