#include "ring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define KEYS "usr/lib/colvert/keys/update"

enum { PEM_MAX = 16 << 10, RSA_LEAST = 2048, RSA_MOST = 16384 };

void ring_done(struct ring *ring) {
	for (size_t i = 0; i < ring->count; i++)
		EVP_PKEY_free(ring->keys[i].key);
	*ring = (struct ring){0};
}

static bool may_sign(EVP_PKEY *key) {
	int bits = EVP_PKEY_get_bits(key);
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_ED25519:
		return true;
	case EVP_PKEY_EC:
		return bits >= 256;
	case EVP_PKEY_RSA:
		return bits >= RSA_LEAST && bits <= RSA_MOST;
	default:
		return false;
	}
}

static bool key_id(EVP_PKEY *key, char out[65]) {
	unsigned char *der = NULL, digest[32];
	unsigned length = 0;
	int size = i2d_PUBKEY(key, &der);
	bool good = size > 0 && EVP_Digest(der, (size_t)size, digest, &length, EVP_sha256(), NULL) == 1;
	OPENSSL_free(der);
	if (good)
		to_hex(digest, sizeof digest, out);
	return good;
}

bool ring_add(struct ring *ring, const char *pem, size_t size) {
	if (ring->count == RING_MAX || size > PEM_MAX)
		return false;
	BIO *bio = BIO_new_mem_buf(pem, (int)size);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	struct key *place = &ring->keys[ring->count];
	if (!key || !may_sign(key) || !key_id(key, place->id)) {
		EVP_PKEY_free(key);
		return false;
	}
	place->key = key;
	ring->count++;
	return true;
}

static void dir_done(DIR **dir) {
	if (*dir)
		closedir(*dir);
}

bool ring_read(int root, struct ring *ring, struct problem *p) {
	int fd = openat(root, KEYS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(DIR *, dir_done) dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *item; dir && (item = readdir(dir));) {
		AUTO_BLOB pem = {0};
		if (!ends_with(item->d_name, ".pem"))
			continue;
		int error = read_file(dirfd(dir), item->d_name, PEM_MAX, &pem);
		if (error || !ring_add(ring, pem.data, pem.size))
			return fail(p, "signature", "/" KEYS "/%s is no public key that can be used: Ed25519, ECDSA or RSA (%d bits).",
			            item->d_name, RSA_LEAST);
	}
	if (ring->count == 0)
		return fail(p, "signature", "/" KEYS " holds no key, so no release can be trusted. Build the image with a key.");
	return true;
}

static bool verify(EVP_PKEY *key, const struct blob *sig, const struct blob *data) {
	/* Ed25519 has its digest within */
	const EVP_MD *digest = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
	            EVP_DigestVerify(context, (const unsigned char *)sig->data, sig->size,
	                             (const unsigned char *)data->data, data->size) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

bool ring_verify(const struct ring *ring, const char *id, const struct blob *sig, const struct blob *data) {
	for (size_t i = 0; i < ring->count; i++)
		if (strcmp(ring->keys[i].id, id) == 0 && verify(ring->keys[i].key, sig, data))
			return true;
	return false;
}
