#include "dsse.h"

#include <stdio.h>
#include <string.h>

#include <colvert/base64.h>
#include <colvert/json.h>

#define TYPE "application/vnd.colvert.update-index.v1+json"

/* Each value follows one of { [ , or a colon. An envelope has 4 of them and 3 for each signature; the rest is room for
 * members that we do not know. */
enum { SIGNATURES_MAX = 32, SIGNATURE_MAX = 4096, MARKS_MAX = 16 * SIGNATURES_MAX };

/* Nobody has signed yet what is parsed here, and an object of two bytes takes the parser half a kilobyte. */
static bool is_modest(const char *data, size_t size) {
	size_t marks = 0;
	for (size_t i = 0; i < size; i++)
		marks += data[i] == '{' || data[i] == '[' || data[i] == ',';
	return marks <= MARKS_MAX;
}

/* What is signed: the pre-authentication encoding. */
static bool encode(const struct blob *payload, struct blob *out) {
	char head[128];
	int length = snprintf(head, sizeof head, "DSSEv1 %zu %s %zu ", sizeof TYPE - 1, TYPE, payload->size);
	return blob_add(out, head, (size_t)length, sizeof head) &&
	       blob_add(out, payload->data, payload->size, ENVELOPE_MAX + sizeof head);
}

static bool one_verifies(const struct ring *ring, struct json_object *list, const struct blob *signed_data) {
	size_t count = json_object_array_length(list);
	for (size_t i = 0; i < count && i < SIGNATURES_MAX; i++) {
		const char *id, *text;
		size_t id_size, size;
		AUTO_BLOB sig = {0};
		struct json_object *item = json_object_array_get_idx(list, i);
		if (json_object_is_type(item, json_type_object) && json_text(item, "keyid", &id, &id_size) &&
		    strlen(id) == id_size && json_text(item, "sig", &text, &size) &&
		    base64_decode(text, size, false, SIGNATURE_MAX, &sig) && ring_verify(ring, id, &sig, signed_data))
			return true;
	}
	return false;
}

bool dsse_open(
    const struct ring *ring, const char *data, size_t size, struct blob *payload, struct problem *p) {
	AUTO_JSON *envelope = size <= ENVELOPE_MAX && is_modest(data, size) ? json_read(data, size) : NULL;
	const char *type, *text;
	size_t type_size, text_size;
	struct json_object *list;
	AUTO_BLOB content = {0};
	AUTO_BLOB signed_data = {0};
	if (!envelope || !json_text(envelope, "payloadType", &type, &type_size) ||
	    !json_text(envelope, "payload", &text, &text_size) ||
	    !json_object_object_get_ex(envelope, "signatures", &list) || !json_object_is_type(list, json_type_array))
		return fail(p, "format", "This is no signed index (a DSSE envelope). Does the source name the right directory?");
	if (type_size != sizeof TYPE - 1 || memcmp(type, TYPE, type_size) != 0)
		return fail(p, "format", "The envelope holds something else than an index of updates (" TYPE ").");
	if (!base64_decode(text, text_size, false, ENVELOPE_MAX, &content) || !encode(&content, &signed_data))
		return fail(p, "format", "The payload of the envelope is no Base64.");
	if (!one_verifies(ring, list, &signed_data))
		return fail(p, "signature", "No key of this machine (/usr/lib/colvert/keys/update) has signed the index. Its "
		            "publisher has to sign it with one of them.");
	return blob_add(payload, content.data, content.size, ENVELOPE_MAX);
}
