#include "index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <colvert/json.h>

#include "dsse.h"
#include "version.h"

enum { WAYS_MAX = 64 };

/* 1 TiB: far above every slot, and far below what sums of it could overflow. */
static const int64_t size_max = (int64_t)1 << 40;
/* the end of the year 9999 */
static const int64_t time_max = 253402300799;

static bool wrong(struct problem *p, const char *where, const char *name, const char *what) {
	return fail(p, "format", "The index is not valid: `%s%s%s` %s.", where, where[0] ? "." : "", name, what);
}

static bool member(
    struct json_object *object, const char *where, const char *name, json_type type, struct json_object **out,
    struct problem *p) {
	if (!json_object_object_get_ex(object, name, out))
		return wrong(p, where, name, "is missing");
	return json_object_is_type(*out, type) || wrong(p, where, name, "has another type");
}

static bool number(
    struct json_object *object, const char *where, const char *name, int64_t most, uint64_t *out, struct problem *p) {
	struct json_object *value;
	if (!member(object, where, name, json_type_int, &value, p))
		return false;
	int64_t found = json_object_get_int64(value);
	if (found < 1 || found > most)
		return wrong(p, where, name, "is out of range");
	*out = (uint64_t)found;
	return true;
}

static bool text(
    struct json_object *object, const char *where, const char *name, bool (*valid)(const char *), char *out, size_t room,
    struct problem *p) {
	const char *found;
	size_t size;
	struct json_object *value;
	if (!member(object, where, name, json_type_string, &value, p))
		return false;
	json_text(object, name, &found, &size);
	if (strlen(found) != size || !valid(found) || !copy_text(out, room, found))
		return wrong(p, where, name, "is not of the form that it has to have");
	return true;
}

static bool is_digest(const char *value) {
	return is_hex(value, 64);
}

static bool is_name(const char *value) {
	return value[0] && strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(value);
}

/* Names a file and nothing else: no directory, nothing that differs from what the file holds. */
static bool is_file_name(const char *value) {
	char digest[65];
	if (strlen(value) != 68 || strcmp(value + 64, ".zst") != 0)
		return false;
	memcpy(digest, value, 64);
	digest[64] = '\0';
	return is_digest(digest);
}

static bool origin(struct json_object *object, const char *where, struct origin *out, struct problem *p) {
	return text(object, where, "version", version_valid, out->version, sizeof out->version, p) &&
	       text(object, where, "root_hash", is_digest, out->root_hash, sizeof out->root_hash, p) &&
	       number(object, where, "size", size_max, &out->size, p) &&
	       text(object, where, "sha256", is_digest, out->sha256, sizeof out->sha256, p);
}

static bool way(struct json_object *object, const char *where, struct way *out, struct problem *p) {
	struct json_object *from;
	if (!json_object_is_type(object, json_type_object))
		return wrong(p, where, "", "has another type");
	if (!text(object, where, "name", is_file_name, out->name, sizeof out->name, p) ||
	    !number(object, where, "size", size_max, &out->size, p) ||
	    !text(object, where, "sha256", is_digest, out->sha256, sizeof out->sha256, p))
		return false;
	if (strncmp(out->name, out->sha256, 64) != 0)
		return wrong(p, where, "name", "is not the SHA-256 of the file");
	if (!json_object_object_get_ex(object, "from", &from))
		return wrong(p, where, "from", "is missing");
	out->delta = !json_object_is_type(from, json_type_null);
	if (!out->delta)
		return true;
	if (!json_object_is_type(from, json_type_object))
		return wrong(p, where, "from", "has another type");
	return origin(from, where, &out->from, p);
}

static bool ways(struct json_object *list, const char *where, struct part *out, struct problem *p) {
	size_t count = json_object_array_length(list), whole = 0;
	if (count > WAYS_MAX)
		return wrong(p, where, "files", "has more than 64 entries");
	out->ways = calloc(count + 1, sizeof *out->ways);
	if (!out->ways)
		return fail(p, "disk", "There is no memory left.");
	for (size_t i = 0; i < count; i++, out->count++) {
		char place[64];
		snprintf(place, sizeof place, "%s.files[%zu]", where, i);
		if (!way(json_object_array_get_idx(list, i), place, &out->ways[i], p))
			return false;
		whole += !out->ways[i].delta;
	}
	return whole == 1 || wrong(p, where, "files", "does not have one whole file");
}

static bool part(struct json_object *all, enum part_name name, struct part *out, struct problem *p) {
	struct json_object *object, *list;
	char where[32];
	if (name == PART_SIGNATURE && !json_object_object_get_ex(all, part_word(name), &object))
		return true;
	snprintf(where, sizeof where, "parts.%s", part_word(name));
	return member(all, "parts", part_word(name), json_type_object, &object, p) &&
	       number(object, where, "size", size_max, &out->size, p) &&
	       text(object, where, "sha256", is_digest, out->sha256, sizeof out->sha256, p) &&
	       member(object, where, "files", json_type_array, &list, p) && ways(list, where, out, p);
}

static bool head(struct json_object *index, struct release *out, struct problem *p) {
	return text(index, "", "image_id", is_name, out->image_id, sizeof out->image_id, p) &&
	       text(index, "", "architecture", is_name, out->architecture, sizeof out->architecture, p) &&
	       text(index, "", "channel", is_name, out->channel, sizeof out->channel, p) &&
	       text(index, "", "version", version_valid, out->version, sizeof out->version, p) &&
	       text(index, "", "from_at_least", version_valid, out->from_at_least, sizeof out->from_at_least, p) &&
	       number(index, "", "created", time_max, &out->created, p) &&
	       number(index, "", "expires", time_max, &out->expires, p) &&
	       text(index, "", "root_hash", is_digest, out->root_hash, sizeof out->root_hash, p);
}

static bool fill(struct json_object *index, struct release *out, struct problem *p) {
	struct json_object *format, *parts;
	if (!member(index, "", "format", json_type_int, &format, p))
		return false;
	if (json_object_get_int64(format) != 1)
		return fail(p, "format", "The index has a format that this version does not know. Update to a version between "
		            "(`colvert-update update --version`).");
	if (!head(index, out, p) || !member(index, "", "parts", json_type_object, &parts, p))
		return false;
	for (int i = 0; i < PARTS; i++)
		if (!part(parts, (enum part_name)i, &out->parts[i], p))
			return false;
	return true;
}

bool index_parse(const char *data, size_t size, struct release *release, struct problem *p) {
	AUTO_JSON *index = size <= ENVELOPE_MAX ? json_read(data, size) : NULL;
	*release = (struct release){0};
	if (!index)
		return fail(p, "format", "The index is no JSON document of at most 1 MiB.");
	if (fill(index, release, p))
		return true;
	release_done(release);
	return false;
}
