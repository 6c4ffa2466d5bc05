/* The public keys by which a release can be signed. */
#pragma once

#include <openssl/evp.h>

#include "problem.h"

enum { RING_MAX = 32 };

struct key {
	EVP_PKEY *key;
	char id[65]; /* SHA-256 of its SubjectPublicKeyInfo in DER */
};

struct ring {
	struct key keys[RING_MAX];
	size_t count;
};

void ring_done(struct ring *ring);
/* Adds a key in PEM; false where it is none of those that may sign (Ed25519, ECDSA, RSA). */
bool ring_add(struct ring *ring, const char *pem, size_t size);
/* All keys of /usr/lib/colvert/keys/update. */
bool ring_read(int root, struct ring *ring, struct problem *p);
/* Whether `sig` is the signature over `data` of the key that `id` names. */
bool ring_verify(const struct ring *ring, const char *id, const struct blob *sig, const struct blob *data);
