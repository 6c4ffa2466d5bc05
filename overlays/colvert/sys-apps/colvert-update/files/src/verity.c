#include "verity.h"

#include <libcryptsetup.h>
#include <stdio.h>
#include <string.h>

enum { HASH_SIZE = 32 };

/* The library's own words are the reason. */
static void keep_error(int level, const char *message, void *context) {
	char *out = context;
	if (level == CRYPT_LOG_ERROR && !out[0])
		snprintf(out, 256, "%.*s", (int)strcspn(message, "\n"), message);
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static void from_hex(const char *text, char out[HASH_SIZE]) {
	for (int i = 0; i < HASH_SIZE; i++)
		out[i] = (char)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
}

static bool covers(struct crypt_device *device, uint64_t size) {
	struct crypt_params_verity have;
	return crypt_get_verity_info(device, &have) == 0 && have.data_size * have.data_block_size == size;
}

static bool check(struct crypt_device *device, const char *data, const char *hash, uint64_t size, const char *root,
                  const char *reason, struct problem *p) {
	struct crypt_params_verity params = {.flags = CRYPT_VERITY_CHECK_HASH};
	char key[HASH_SIZE];
	from_hex(root, key);
	if (crypt_load(device, CRYPT_VERITY, &params) < 0)
		return fail(p, "verity", "%s holds no hash tree. %s", hash, reason);
	if (!covers(device, size))
		return fail(p, "verity", "The hash tree in %s is not over %llu bytes.", hash, (unsigned long long)size);
	/* no name: nothing is mapped, the whole tree is computed and compared */
	if (crypt_set_data_device(device, data) < 0 ||
	    crypt_activate_by_volume_key(device, NULL, key, sizeof key, CRYPT_ACTIVATE_READONLY) < 0)
		return fail(p, "verity", "%s does not have the root hash %s. %s", data, root, reason);
	return true;
}

bool verity_check(const char *data, const char *hash, uint64_t size, const char *root_hash, struct problem *p) {
	struct crypt_device *device = NULL;
	char reason[256] = "";
	if (!is_hex(root_hash, 2 * HASH_SIZE))
		return fail(p, "format", "The root hash is not %d hexadecimal digits.", 2 * HASH_SIZE);
	if (crypt_init(&device, hash) < 0)
		return fail(p, "disk", "%s cannot be opened.", hash);
	crypt_set_log_callback(device, keep_error, reason);
	bool good = check(device, data, hash, size, root_hash, reason, p);
	crypt_free(device);
	return good;
}
