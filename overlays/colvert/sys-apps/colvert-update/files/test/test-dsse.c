#include "dsse.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <colvert/check.h>

#include "index.h"
#include "indexes.h"

#define TYPE "application/vnd.colvert.update-index.v1+json"

static struct problem p;

static char *base64(const void *data, size_t size) {
	char *out = malloc(size * 4 / 3 + 8);
	CHECK(out);
	EVP_EncodeBlock((unsigned char *)out, data, (int)size);
	return out;
}

static void add_key(struct ring *ring, EVP_PKEY *key) {
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	CHECK(bio && PEM_write_bio_PUBKEY(bio, key) == 1);
	long size = BIO_get_mem_data(bio, &text);
	CHECK(ring_add(ring, text, (size_t)size));
	BIO_free(bio);
}

/* The signature over PAE(type, payload), in Base64. */
static char *sign(EVP_PKEY *key, const char *type, const char *payload) {
	unsigned char sig[1024], text[8192];
	size_t size = sizeof sig;
	int length = snprintf((char *)text, sizeof text, "DSSEv1 %zu %s %zu %s", strlen(type), type, strlen(payload), payload);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const EVP_MD *digest = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
	CHECK(context && EVP_DigestSignInit(context, NULL, digest, NULL, key) == 1 &&
	      EVP_DigestSign(context, sig, &size, text, (size_t)length) == 1);
	EVP_MD_CTX_free(context);
	return base64(sig, size);
}

static struct blob envelope(const char *type, const char *payload, const char *id, const char *sig) {
	char *encoded = base64(payload, strlen(payload)), text[16384];
	struct blob out = {0};
	int length = snprintf(text, sizeof text, "{\"payloadType\": \"%s\", \"payload\": \"%s\", \"signatures\": [{\"keyid\": "
	                      "\"%s\", \"sig\": \"%s\"}]}", type, encoded, id, sig);
	CHECK(length > 0 && (size_t)length < sizeof text && blob_add(&out, text, (size_t)length, sizeof text));
	free(encoded);
	return out;
}

static const char *opened(const struct ring *ring, const struct blob *text) {
	AUTO_BLOB payload = {0};
	p = (struct problem){.code = ""};
	bool good = dsse_open(ring, text->data, text->size, &payload, &p);
	if (good)
		CHECK(payload.size == sizeof INDEX - 1 && memcmp(payload.data, INDEX, payload.size) == 0);
	else
		CHECK(!payload.data);
	return good ? "good" : p.code;
}

static void keys(EVP_PKEY *key) {
	AUTO(struct ring, ring_done) ring = {0}, other = {0};
	EVP_PKEY *stranger = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	add_key(&ring, key);
	add_key(&other, stranger);
	char *sig = sign(key, TYPE, INDEX), *alien = sign(stranger, TYPE, INDEX), *typed = sign(key, "text/plain", INDEX);
	const char *id = ring.keys[0].id, *alien_id = other.keys[0].id;
	const struct {
		const char *type, *payload, *id, *sig, *code;
	} table[] = {
	    {TYPE, INDEX, id, sig, "good"},
	    {TYPE, INDEX " ", id, sig, "signature"},
	    {TYPE, INDEX, alien_id, sig, "signature"},
	    {TYPE, INDEX, id, alien, "signature"},
	    {TYPE, INDEX, alien_id, alien, "signature"},
	    {TYPE, INDEX, "", sig, "signature"},
	    {TYPE, INDEX, id, "", "signature"},
	    {TYPE, INDEX, id, "AAAA", "signature"},
	    {TYPE, INDEX, id, "!", "signature"},
	    {TYPE, INDEX, id, typed, "signature"},
	    {"text/plain", INDEX, id, typed, "format"},
	    {"", INDEX, id, sig, "format"},
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		AUTO_BLOB text = envelope(table[i].type, table[i].payload, table[i].id, table[i].sig);
		CHECK_TEXT(opened(&ring, &text), table[i].code);
	}
	AUTO_BLOB text = envelope(TYPE, INDEX, id, sig);
	CHECK_TEXT(opened(&other, &text), "signature");
	add_key(&other, key);
	CHECK_TEXT(opened(&other, &text), "good");
	free(sig);
	free(alien);
	free(typed);
	EVP_PKEY_free(stranger);
}

static void not_envelopes(void) {
	AUTO(struct ring, ring_done) ring = {0};
	static const char *const bad[] = {
	    "", "{}", "[]", "null", "{\"payloadType\": 7}", "{\"payloadType\": \"" TYPE "\", \"payload\": \"e30=\"}",
	    "{\"payloadType\": \"" TYPE "\", \"payload\": \"e30=\", \"signatures\": {}}",
	    "{\"payloadType\": \"" TYPE "\", \"payload\": \"e30\", \"signatures\": []}",
	    "{\"payloadType\": \"" TYPE "\", \"payload\": \"e3\\u0000=\", \"signatures\": []}",
	    "{\"payloadType\": \"" TYPE "\\u0000\", \"payload\": \"e30=\", \"signatures\": []}",
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		AUTO_BLOB text = {0};
		CHECK(blob_add(&text, bad[i], strlen(bad[i]), 4096));
		CHECK_TEXT(opened(&ring, &text), "format");
	}
	static const char odd[] =
	    "{\"payloadType\": \"" TYPE "\", \"payload\": \"e30=\", \"signatures\": [null, 7, [], {}, {\"keyid\": 7}, "
	    "{\"keyid\": \"\", \"sig\": null}]}";
	AUTO_BLOB text = {0};
	CHECK(blob_add(&text, odd, sizeof odd - 1, 4096));
	CHECK_TEXT(opened(&ring, &text), "signature");
}

/* An envelope that is good but for a member with so many values in it. */
static const char *with_values(const struct ring *ring, const struct blob *good, const char *value, size_t count) {
	AUTO_BLOB text = {0};
	CHECK(blob_add_text(&text, "{\"more\": [", 1 << 20));
	for (size_t i = 0; i < count; i++)
		CHECK(blob_add_text(&text, i ? "," : "", 1 << 20) && blob_add_text(&text, value, 1 << 20));
	CHECK(blob_add_text(&text, "], ", 1 << 20) && blob_add(&text, good->data + 1, good->size - 1, 1 << 20));
	return opened(ring, &text);
}

/* What nobody signed is not parsed to the end, however it is small and makes much of itself. */
static void many_values(EVP_PKEY *key) {
	AUTO(struct ring, ring_done) ring = {0};
	add_key(&ring, key);
	char *sig = sign(key, TYPE, INDEX);
	AUTO_BLOB good = envelope(TYPE, INDEX, ring.keys[0].id, sig);
	static const char *const values[] = {"{}", "[]", "0", "\"\"", "{\"a\":0}"};
	for (size_t i = 0; i < COUNT(values); i++) {
		CHECK_TEXT(with_values(&ring, &good, values[i], 100), "good");
		CHECK_TEXT(with_values(&ring, &good, values[i], 600), "format");
	}
	free(sig);
}

static void rings(void) {
	AUTO(struct ring, ring_done) ring = {0};
	static const char *const bad[] = {"", "x", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
	                                  "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"};
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(!ring_add(&ring, bad[i], strlen(bad[i])));
	EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), *no_sign = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	EVP_PKEY *const refused[] = {weak, no_sign};
	for (size_t i = 0; i < COUNT(refused); i++) {
		BIO *bio = BIO_new(BIO_s_mem());
		char *text;
		CHECK(refused[i] && bio && PEM_write_bio_PUBKEY(bio, refused[i]) == 1);
		long size = BIO_get_mem_data(bio, &text);
		CHECK(!ring_add(&ring, text, (size_t)size));
		BIO_free(bio);
		EVP_PKEY_free(refused[i]);
	}
	CHECK(ring.count == 0);
}

/* A good envelope and a good index with bytes changed, cut and doubled: they come back, a sanitizer sees the rest,
 * and nothing but the one payload is ever taken for signed. MUTATIONS asks for more of them. */
static void mutations(EVP_PKEY *key) {
	AUTO(struct ring, ring_done) ring = {0};
	add_key(&ring, key);
	char *sig = sign(key, TYPE, INDEX);
	AUTO_BLOB whole = envelope(TYPE, INDEX, ring.keys[0].id, sig);
	const char *asked = getenv("MUTATIONS");
	long rounds = asked ? atol(asked) : 3000;
	uint64_t state = 42;
	static const char spice[] = "\0\"{}[]:,\\/.-+eE0=9a \xff";
	for (long i = 0; i < rounds; i++) {
		const char *seed = i % 2 ? whole.data : INDEX;
		size_t size = strlen(seed);
		char *text = malloc(size + 1);
		CHECK(text);
		memcpy(text, seed, size);
		for (int k = 0; k <= i % 4; k++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			size_t at = (size_t)(state >> 33) % size;
			if (state >> 60 == 0)
				size = at + 1;
			else
				text[at] = state >> 60 < 12 ? spice[(state >> 20) % (sizeof spice - 1)] : (char)(state >> 12);
		}
		/* exactly as large as it is */
		char *exact = realloc(text, size);
		CHECK(exact);
		struct blob mutant = {exact, size};
		opened(&ring, &mutant);
		AUTO(struct release, release_done) release;
		index_parse(exact, size, &release, &p);
		free(exact);
	}
	free(sig);
}

int main(void) {
	EVP_PKEY *ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY *ecdsa = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	CHECK(ed25519 && ecdsa && rsa);
	keys(ed25519);
	keys(ecdsa);
	keys(rsa);
	not_envelopes();
	many_values(ed25519);
	rings();
	mutations(ed25519);
	EVP_PKEY_free(ed25519);
	EVP_PKEY_free(ecdsa);
	EVP_PKEY_free(rsa);
}
