#include "vmware.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <colvert/base64.h>
#include <colvert/json.h>
#include <colvert/say.h>

#include "bounds.h"
#include "names.h"

enum {
	MAGIC = 0x564d5868,
	PORT = 0x5658,
	COMMAND_VERSION = 10,
	COMMAND_MESSAGE = 30,
	/* steps of a message, in the upper half of cx */
	STEP_OPEN = 0,
	STEP_SEND_SIZE = 1,
	STEP_SEND = 2,
	STEP_RECEIVE_SIZE = 3,
	STEP_RECEIVE = 4,
	STEP_RECEIVE_DONE = 5,
	STEP_CLOSE = 6,
	/* what comes back there */
	STATUS_SUCCESS = 1,
	STATUS_HAS_ANSWER = 2,
	PROTOCOL_RPCI = 0x49435052,
};
#define WITH_COOKIE 0x80000000u

struct channel {
	struct backdoor *backdoor;
	uint32_t id, cookie_high, cookie_low;
};

/* One step; returns the status, 0 where nobody answered. */
static uint32_t step(struct channel *channel, uint32_t what, struct registers *registers) {
	registers->ax = MAGIC;
	registers->cx = what << 16 | COMMAND_MESSAGE;
	registers->dx = channel->id << 16 | PORT;
	registers->si = channel->cookie_high;
	registers->di = channel->cookie_low;
	return channel->backdoor->call(channel->backdoor, registers) ? registers->cx >> 16 : 0;
}

static bool open_channel(struct channel *channel) {
	struct registers registers = {.bx = PROTOCOL_RPCI | WITH_COOKIE};
	if (!(step(channel, STEP_OPEN, &registers) & STATUS_SUCCESS))
		return false;
	channel->id = registers.dx >> 16;
	channel->cookie_high = registers.si;
	channel->cookie_low = registers.di;
	return true;
}

static bool send_command(struct channel *channel, const char *command) {
	size_t size = strlen(command);
	struct registers registers = {.bx = (uint32_t)size};
	if (!(step(channel, STEP_SEND_SIZE, &registers) & STATUS_SUCCESS))
		return false;
	for (size_t at = 0; at < size; at += 4) {
		uint32_t word = 0;
		memcpy(&word, command + at, size - at < 4 ? size - at : 4);
		registers = (struct registers){.bx = word};
		if (!(step(channel, STEP_SEND, &registers) & STATUS_SUCCESS))
			return false;
	}
	return true;
}

static bool receive_answer(struct channel *channel, size_t limit, struct blob *out) {
	const uint32_t both = STATUS_SUCCESS | STATUS_HAS_ANSWER;
	struct registers registers = {0};
	if ((step(channel, STEP_RECEIVE_SIZE, &registers) & both) != both)
		return false;
	uint32_t size = registers.bx, reply = registers.dx >> 16;
	if (size > limit || !blob_add(out, "", 0, limit))
		return false;
	for (uint32_t at = 0; at < size; at += 4) {
		registers = (struct registers){.bx = reply};
		if (!(step(channel, STEP_RECEIVE, &registers) & STATUS_SUCCESS) ||
		    !blob_add(out, &registers.bx, size - at < 4 ? size - at : 4, limit))
			return false;
	}
	registers = (struct registers){.bx = reply};
	return step(channel, STEP_RECEIVE_DONE, &registers) & STATUS_SUCCESS;
}

bool rpci(struct backdoor *backdoor, const char *command, size_t limit, struct blob *out) {
	struct channel channel = {.backdoor = backdoor};
	AUTO_BLOB raw = {0};
	if (!open_channel(&channel))
		return false;
	bool done = send_command(&channel, command) && receive_answer(&channel, limit + 2, &raw);
	struct registers registers = {0};
	step(&channel, STEP_CLOSE, &registers);
	/* "1 VALUE", or "0 " and why not */
	return done && raw.size >= 2 && raw.data[0] == '1' && raw.data[1] == ' ' &&
	       blob_add(out, raw.data + 2, raw.size - 2, limit);
}

static bool present(struct backdoor *backdoor) {
	struct registers registers = {.ax = MAGIC, .bx = ~(uint32_t)MAGIC, .cx = COMMAND_VERSION, .dx = PORT};
	return backdoor->call(backdoor, &registers) && registers.bx == MAGIC;
}

static bool variable(struct backdoor *backdoor, const char *name, size_t limit, struct blob *out) {
	char command[64];
	snprintf(command, sizeof command, "info-get guestinfo.%s", name);
	return rpci(backdoor, command, limit, out) && out->size > 0;
}

/* A variable and the other that says how it is written. */
static bool decoded(struct backdoor *backdoor, const char *name, struct blob *out) {
	char encoding_name[32];
	AUTO_BLOB raw = {0};
	AUTO_BLOB encoding = {0};
	if (!variable(backdoor, name, USER_DATA_MAX / 3 * 4 + 4096, &raw))
		return false;
	snprintf(encoding_name, sizeof encoding_name, "%s.encoding", name);
	if (!variable(backdoor, encoding_name, 64, &encoding))
		return blob_add(out, raw.data, raw.size, USER_DATA_MAX);
	blob_trim(&encoding);
	bool base64 = strcmp(encoding.data, "base64") == 0 || strcmp(encoding.data, "b64") == 0;
	if (base64 && base64_decode(raw.data, raw.size, true, USER_DATA_MAX, out))
		return true;
	say(LEVEL_WARNING, "guestinfo.%s is not in an encoding that is known here.", name);
	return false;
}

/* OVF environment: <Property oe:key="NAME" oe:value="VALUE"/>, as the deployment tools write it. */

static bool add_unescaped(struct blob *out, const char *text, size_t size) {
	static const struct {
		const char *name;
		char value;
	} entities[] = {{"&amp;", '&'},  {"&lt;", '<'},   {"&gt;", '>'},  {"&quot;", '"'},
	                {"&apos;", '\''}, {"&#10;", '\n'}, {"&#9;", '\t'}, {"&#13;", '\r'}};
	for (size_t i = 0; i < size;) {
		char c = text[i];
		size_t used = 1;
		for (size_t e = 0; c == '&' && used == 1 && e < sizeof entities / sizeof *entities; e++) {
			size_t length = strlen(entities[e].name);
			if (length <= size - i && memcmp(text + i, entities[e].name, length) == 0) {
				c = entities[e].value;
				used = length;
			}
		}
		if (!blob_add(out, &c, 1, USER_DATA_MAX))
			return false;
		i += used;
	}
	return true;
}

/* The value of an attribute of the element between `at` and `end`, whatever its name space's prefix. */
static bool attribute(const char *at, const char *end, const char *name, const char **value, size_t *size) {
	size_t length = strlen(name);
	while ((at = memmem(at, (size_t)(end - at), name, length))) {
		const char *before = at - 1, *after = at + length;
		at = after;
		if ((*before != ':' && *before != ' ' && *before != '\n' && *before != '\t') || end - after < 3 ||
		    after[0] != '=' || (after[1] != '"' && after[1] != '\''))
			continue;
		*value = after + 2;
		const char *quote = memchr(*value, after[1], (size_t)(end - *value));
		*size = quote ? (size_t)(quote - *value) : 0;
		return quote != NULL;
	}
	return false;
}

/* The end of an element's tag: a > that stands in no attribute's value. */
static const char *tag_end(const char *at, const char *end) {
	char quote = '\0';
	for (; at < end; at++) {
		if (quote)
			quote = *at == quote ? '\0' : quote;
		else if (*at == '"' || *at == '\'')
			quote = *at;
		else if (*at == '>')
			return at;
	}
	return NULL;
}

bool ovf_property(const char *xml, size_t size, const char *name, struct blob *out) {
	const char *end = xml + size;
	for (const char *at = xml; (at = memmem(at, (size_t)(end - at), "Property ", 9));) {
		const char *stop = tag_end(at, end), *key, *value;
		size_t key_size, value_size;
		if (!stop)
			return false;
		if (attribute(at + 8, stop, "key", &key, &key_size) && strlen(name) == key_size &&
		    memcmp(key, name, key_size) == 0 && attribute(at + 8, stop, "value", &value, &value_size))
			return blob_add(out, "", 0, USER_DATA_MAX) && add_unescaped(out, value, value_size);
		at = stop;
	}
	return false;
}

static void take_ovf(const struct blob *xml, struct answer *answer) {
	AUTO_BLOB id = {0};
	AUTO_BLOB name = {0};
	AUTO_BLOB keys = {0};
	AUTO_BLOB data = {0};
	if (ovf_property(xml->data, xml->size, "instance-id", &id))
		instance_id_accept(id.data, id.size, answer->id);
	if (ovf_property(xml->data, xml->size, "hostname", &name))
		answer_host_name(answer, name.data, name.size);
	if (ovf_property(xml->data, xml->size, "public-keys", &keys))
		keys_add(&answer->keys, keys.data, keys.size, &answer->tally);
	if (ovf_property(xml->data, xml->size, "user-data", &data) && !answer->user_data.size &&
	    !base64_decode(data.data, data.size, true, USER_DATA_MAX, &answer->user_data))
		say(LEVEL_WARNING, "user-data of the OVF environment is not Base64.");
}

static void take_key_list(struct json_object *list, struct answer *answer) {
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *key = json_object_array_get_idx(list, i);
		if (json_object_is_type(key, json_type_string))
			keys_add(&answer->keys, json_object_get_string(key), (size_t)json_object_get_string_len(key),
			         &answer->tally);
	}
}

static void take_metadata(const struct blob *metadata, struct answer *answer) {
	AUTO_JSON *document = json_read(metadata->data, metadata->size);
	struct json_object *keys;
	const char *text;
	size_t size;
	if (!document) {
		say(LEVEL_WARNING, "guestinfo.metadata is no JSON object; it is left alone.");
		return;
	}
	if (json_text(document, "instance-id", &text, &size))
		instance_id_accept(text, size, answer->id);
	if (json_text(document, "local-hostname", &text, &size) || json_text(document, "hostname", &text, &size))
		answer_host_name(answer, text, size);
	if (json_text(document, "public-keys-data", &text, &size))
		keys_add(&answer->keys, text, size, &answer->tally);
	if (json_object_object_get_ex(document, "public-keys", &keys) && json_object_is_type(keys, json_type_array))
		take_key_list(keys, answer);
}

enum outcome vmware_ask(struct backdoor *backdoor, const char *known, struct answer *answer) {
	AUTO_BLOB metadata = {0};
	AUTO_BLOB environment = {0};
	if (!present(backdoor))
		return OUTCOME_FAILED;
	answer->complete = true;
	if (decoded(backdoor, "metadata", &metadata))
		take_metadata(&metadata, answer);
	decoded(backdoor, "userdata", &answer->user_data);
	if (variable(backdoor, "ovfEnv", USER_DATA_MAX, &environment))
		take_ovf(&environment, answer);
	return known[0] && strcmp(known, answer->id) == 0 ? OUTCOME_SAME : OUTCOME_DONE;
}
