#include <colvert/json.h>

#include <limits.h>

#include <colvert/util.h>

enum { DEPTH = 16 };

void json_done(struct json_object **object) {
	if (*object)
		json_object_put(*object);
	*object = NULL;
}

static void tokener_done(struct json_tokener **tokener) {
	if (*tokener)
		json_tokener_free(*tokener);
}

struct json_object *json_read(const char *data, size_t size) {
	/* one more than is read: the NUL tells the parser that this was all */
	if (size == 0 || size >= INT_MAX || !utf8_valid(data, size))
		return NULL;
	AUTO(struct json_tokener *, tokener_done) tokener = json_tokener_new_ex(DEPTH);
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	AUTO_JSON *object = json_tokener_parse_ex(tokener, data, (int)size);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		return NULL;
	for (size_t i = json_tokener_get_parse_end(tokener); i < size; i++)
		if (data[i] != ' ' && data[i] != '\n' && data[i] != '\r' && data[i] != '\t')
			return NULL;
	if (!json_object_is_type(object, json_type_object))
		return NULL;
	struct json_object *result = object;
	object = NULL;
	return result;
}

bool json_text(struct json_object *object, const char *name, const char **text, size_t *size) {
	struct json_object *value;
	if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, json_type_string))
		return false;
	*text = json_object_get_string(value);
	*size = (size_t)json_object_get_string_len(value);
	return true;
}
