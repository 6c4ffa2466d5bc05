#include <string.h>
#include <time.h>

#include "commands.h"
#include "facts.h"
#include "failed.h"
#include "install.h"
#include "settings.h"
#include "state.h"

enum { FAILED_MOST = 32 };

static struct json_object *text_or_null(const char *text) {
	return text && text[0] ? json_object_new_string(text) : NULL;
}

static struct json_object *time_or_null(uint64_t when) {
	return when ? json_object_new_int64((int64_t)when) : NULL;
}

static struct json_object *slot(const struct slot *slot, bool running) {
	struct json_object *item = json_object_new_object();
	json_object_object_add(item, "slot", json_object_new_string(slot->usr < 6 ? "A" : "B"));
	json_object_object_add(item, "running", json_object_new_boolean(running));
	json_object_object_add(item, "version", text_or_null(slot->version));
	json_object_object_add(item, "root_hash", text_or_null(slot->root_hash));
	return item;
}

static struct json_object *entry(const struct entry *entry) {
	struct json_object *item = json_object_new_object();
	json_object_object_add(item, "name", json_object_new_string(entry->name));
	json_object_object_add(item, "version", json_object_new_string(entry->version));
	json_object_object_add(item, "left", entry->left < 0 ? NULL : json_object_new_int(entry->left));
	json_object_object_add(item, "done", entry->done < 0 ? NULL : json_object_new_int(entry->done));
	return item;
}

static void add_machine(struct json_object *report, const struct machine *machine) {
	const struct entry *next = pending(machine);
	struct json_object *slots = json_object_new_array(), *entries = json_object_new_array();
	bool hot_first = machine->hot.usr < machine->cold.usr;
	json_object_array_add(slots, slot(hot_first ? &machine->hot : &machine->cold, hot_first));
	json_object_array_add(slots, slot(hot_first ? &machine->cold : &machine->hot, !hot_first));
	for (size_t i = 0; i < machine->count; i++)
		json_object_array_add(entries, entry(&machine->entries[i]));
	json_object_object_add(report, "pending", text_or_null(next ? next->version : NULL));
	json_object_object_add(report, "slots", slots);
	json_object_object_add(report, "entries", entries);
}

static void add_failed(struct json_object *report, int root) {
	static struct failed all[FAILED_MOST];
	struct json_object *list = json_object_new_array();
	size_t count = failed_list(root, all, COUNT(all));
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_new_object();
		json_object_object_add(item, "version", json_object_new_string(all[i].version));
		json_object_object_add(item, "kind", json_object_new_string(all[i].kind));
		json_object_object_add(item, "reason", json_object_new_string(all[i].reason));
		json_object_object_add(item, "when", time_or_null(all[i].when));
		json_object_object_add(item, "attempts", json_object_new_int64(all[i].attempts));
		json_object_array_add(list, item);
	}
	json_object_object_add(report, "failed", list);
}

static void add_state(struct json_object *report, int root) {
	struct state state;
	state_read(root, &state);
	json_object_object_add(report, "last_check", time_or_null(state.last_check));
	json_object_object_add(report, "next_check", time_or_null(state.next_attempt));
	json_object_object_add(report, "found", text_or_null(state.found));
	json_object_object_add(report, "errors", json_object_new_int64(state.errors));
	struct json_object *error = NULL;
	if (state.code[0]) {
		error = json_object_new_object();
		json_object_object_add(error, "code", json_object_new_string(state.code));
		json_object_object_add(error, "message", json_object_new_string(state.message));
	}
	json_object_object_add(report, "last_error", error);
}

/* The timer cannot work with them; what it would say is said before it looks next. */
static void add_settings(struct json_object *report, int root) {
	struct settings settings;
	struct problem wrong;
	bool clear = settings_read(root, &settings, &wrong);
	json_object_object_add(report, "settings_error", clear ? NULL : json_object_new_string(wrong.text));
}

bool command_status(struct context *context) {
	AUTO(struct machine, machine_done) machine = {0};
	struct facts facts;
	struct json_object *running = json_object_new_object();
	if (!facts_read(context->root, NULL, &facts, &context->end) ||
	    (context->live && !machine_read(&machine, &context->end))) {
		json_object_put(running);
		return false;
	}
	json_object_object_add(running, "image_id", json_object_new_string(facts.image_id));
	json_object_object_add(running, "version", json_object_new_string(facts.version));
	json_object_object_add(running, "root_hash", text_or_null(machine.root_hash));
	json_object_object_add(context->report, "running", running);
	if (context->live)
		add_machine(context->report, &machine);
	add_failed(context->report, context->root);
	add_state(context->report, context->root);
	add_settings(context->report, context->root);
	return done(context, "done", "Release %s runs.", facts.version);
}
