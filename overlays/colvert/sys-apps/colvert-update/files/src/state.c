#include "state.h"

#include <string.h>

#include <colvert/json.h>

#define STATE UPDATE_STATE "/state.json"

enum { STATE_MAX = 64 << 10, PAUSE = 45 * 60, PAUSE_MOST = 24 * 60 * 60 };

static uint64_t number(struct json_object *object, const char *name) {
	struct json_object *value;
	if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, json_type_int))
		return 0;
	int64_t found = json_object_get_int64(value);
	return found < 0 ? 0 : (uint64_t)found;
}

static void text(struct json_object *object, const char *name, char *out, size_t room) {
	const char *found;
	size_t size;
	if (json_text(object, name, &found, &size))
		copy_text(out, room, found);
}

void state_read(int root, struct state *state) {
	AUTO_BLOB data = {0};
	*state = (struct state){0};
	if (read_file(root, STATE, STATE_MAX, &data) != 0)
		return;
	AUTO_JSON *object = json_read(data.data, data.size);
	if (!object)
		return;
	uint64_t errors = number(object, "errors");
	state->last_check = number(object, "last_check");
	state->next_attempt = number(object, "next_attempt");
	state->errors = errors > 1000 ? 1000 : (unsigned)errors;
	text(object, "code", state->code, sizeof state->code);
	text(object, "message", state->message, sizeof state->message);
	text(object, "found", state->found, sizeof state->found);
}

bool state_write(int root, const struct state *state, struct problem *p) {
	AUTO_JSON *object = json_object_new_object();
	json_object_object_add(object, "last_check", json_object_new_int64((int64_t)state->last_check));
	json_object_object_add(object, "next_attempt", json_object_new_int64((int64_t)state->next_attempt));
	json_object_object_add(object, "errors", json_object_new_int64(state->errors));
	json_object_object_add(object, "code", json_object_new_string(state->code));
	json_object_object_add(object, "message", json_object_new_string(state->message));
	json_object_object_add(object, "found", json_object_new_string(state->found));
	const char *data = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
	int error = make_parents(root, STATE, 0755);
	if (error == 0)
		error = write_file(root, STATE, data, strlen(data), 0644);
	return error == 0 || fail(p, "disk", "/" STATE " cannot be written: %s.", strerror(-error));
}

/* What the machine itself refuses stays refused until there is another release, or another line in its settings, which
 * should be seen soon. */
static bool is_error(const char *code) {
	static const char *const rules[] = {
	    "image-id", "architecture", "channel", "older", "from-at-least", "failed-before", "slot-too-small", "usage",
	};
	for (size_t i = 0; i < COUNT(rules); i++)
		if (strcmp(rules[i], code) == 0)
			return false;
	return true;
}

static uint64_t pause_after(unsigned errors) {
	uint64_t pause = PAUSE;
	for (unsigned i = 1; i < errors && pause < PAUSE_MOST; i++)
		pause *= 2;
	return pause < PAUSE_MOST ? pause : PAUSE_MOST;
}

void state_note(struct state *state, const struct problem *p, const char *found, uint64_t now) {
	state->last_check = now;
	state->errors = p && is_error(p->code) ? state->errors + 1 : 0;
	state->next_attempt = now + pause_after(state->errors);
	copy_text(state->found, sizeof state->found, found);
	copy_text(state->code, sizeof state->code, p ? p->code : "");
	copy_text(state->message, sizeof state->message, p ? p->text : "");
}

bool state_due(const struct state *state, uint64_t now) {
	if (state->errors == 0)
		return true;
	return now >= state->next_attempt || state->next_attempt > now + PAUSE_MOST;
}
