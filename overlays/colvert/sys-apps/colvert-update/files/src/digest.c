#include "digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <colvert/util.h>

static void context_done(EVP_MD_CTX **context) {
	EVP_MD_CTX_free(*context);
}

int digest_file(int fd, char out[65], uint64_t *size) {
	static unsigned char buffer[128 << 10];
	unsigned char digest[32];
	AUTO(EVP_MD_CTX *, context_done) context = EVP_MD_CTX_new();
	*size = 0;
	if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	for (;;) {
		ssize_t count = pread(fd, buffer, sizeof buffer, (off_t)*size);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			break;
		if (EVP_DigestUpdate(context, buffer, (size_t)count) != 1)
			return -EIO;
		*size += (uint64_t)count;
	}
	if (EVP_DigestFinal_ex(context, digest, NULL) != 1)
		return -EIO;
	to_hex(digest, sizeof digest, out);
	return 0;
}

void digest_text(const void *data, unsigned long size, char out[65]) {
	unsigned char digest[32] = {0};
	EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL);
	to_hex(digest, sizeof digest, out);
}
