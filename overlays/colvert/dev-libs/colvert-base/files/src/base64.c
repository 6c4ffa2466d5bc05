#include <colvert/base64.h>

#include <stdint.h>
#include <string.h>

static int value_of(char c) {
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

static bool is_space(char c) {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What is left when the text ends: a whole number of bytes, and the padding that goes with it. */
static bool end_valid(unsigned digits, unsigned padding) {
	return (digits == 0 && padding == 0) || (digits == 2 && padding == 2) || (digits == 3 && padding == 1);
}

bool base64_decode(const char *text, size_t size, bool loose, size_t limit, struct blob *out) {
	uint32_t group = 0;
	unsigned digits = 0, padding = 0;
	AUTO_BLOB result = {0};
	if (!blob_add(&result, "", 0, limit))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (loose && is_space(text[i]))
			continue;
		if (text[i] == '=' && digits >= 2 && padding < 2) {
			padding++;
			continue;
		}
		int value = value_of(text[i]);
		if (value < 0 || padding)
			return false;
		group = group << 6 | (uint32_t)value;
		if (++digits == 4) {
			char bytes[3] = {(char)(group >> 16), (char)(group >> 8), (char)group};
			if (!blob_add(&result, bytes, 3, limit))
				return false;
			digits = group = 0;
		}
	}
	if (!end_valid(digits, padding))
		return false;
	if (digits) {
		group <<= 6 * (4 - digits);
		char bytes[2] = {(char)(group >> 16), (char)(group >> 8)};
		if (!blob_add(&result, bytes, digits - 1, limit))
			return false;
	}
	return blob_add(out, result.data, result.size, limit);
}
