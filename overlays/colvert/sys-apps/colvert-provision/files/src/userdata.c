#include "userdata.h"

#include <string.h>

#include <colvert/base64.h>
#include <colvert/json.h>

#include "bounds.h"
#include "names.h"

enum { COUNT_MAX = 256 };

/* The first line by which a document may say whose it is. */
#define MARK "#systemd-userdata\n"

static size_t skip_space(const char *data, size_t size, size_t from) {
	while (from < size && (data[from] == ' ' || data[from] == '\t' || data[from] == '\r' || data[from] == '\n'))
		from++;
	return from;
}

/* Where the JSON begins; `size` where there is none. */
static size_t json_start(const char *data, size_t size) {
	if (size >= strlen(MARK) && memcmp(data, MARK, strlen(MARK)) == 0)
		return strlen(MARK);
	size_t brace = skip_space(data, size, 0);
	if (brace == size || data[brace] != '{')
		return size;
	size_t after = skip_space(data, size, brace + 1);
	return after < size && (data[after] == '"' || data[after] == '}') ? brace : size;
}

enum user_data user_data_form(const char *data, size_t size) {
	if (skip_space(data, size, 0) == size)
		return USER_DATA_NONE;
	if (size > 2 && data[0] == '#' && data[1] == '!')
		return USER_DATA_SCRIPT;
	return json_start(data, size) < size ? USER_DATA_CREDENTIALS : USER_DATA_UNKNOWN;
}

/* One entry: exactly one of the three ways to give the content. */
static bool take_entry(struct json_object *entry, credential_sink sink, void *context) {
	const char *name, *text, *data, *encrypted;
	size_t name_size, text_size, data_size, encrypted_size;
	if (!json_object_is_type(entry, json_type_object) || !json_text(entry, "name", &name, &name_size) ||
	    strlen(name) != name_size || !credential_name_valid(name))
		return false;
	bool has_text = json_text(entry, "text", &text, &text_size);
	bool has_data = json_text(entry, "data", &data, &data_size);
	bool has_encrypted = json_text(entry, "encrypted", &encrypted, &encrypted_size);
	if (has_text + has_data + has_encrypted != 1)
		return false;
	AUTO_BLOB bytes = {0};
	if (has_data && !base64_decode(data, data_size, true, USER_DATA_MAX, &bytes))
		return false;
	if (has_encrypted && !base64_decode(encrypted, encrypted_size, true, USER_DATA_MAX, &bytes))
		return false;
	struct credential credential = {name, bytes.data, bytes.size, has_encrypted};
	if (has_text || has_encrypted) {
		credential.data = has_text ? text : encrypted;
		credential.size = has_text ? text_size : encrypted_size;
	}
	sink(context, &credential);
	return true;
}

bool user_data_credentials(
    const char *data, size_t size, credential_sink sink, void *context, unsigned *refused) {
	size_t start = json_start(data, size);
	AUTO_JSON *document = json_read(data + start, size - start);
	struct json_object *list;
	*refused = 0;
	if (!document)
		return false;
	if (!json_object_object_get_ex(document, "systemd.credentials", &list))
		return true;
	if (!json_object_is_type(list, json_type_array))
		return false;
	size_t count = json_object_array_length(list);
	for (size_t i = 0; i < count; i++)
		if (i >= COUNT_MAX || !take_entry(json_object_array_get_idx(list, i), sink, context))
			++*refused;
	return true;
}
