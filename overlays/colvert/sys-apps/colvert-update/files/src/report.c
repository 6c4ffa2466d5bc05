#include "report.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <colvert/json.h>

void report_json(const struct context *context, bool good) {
	struct json_object *all = json_object_new_object();
	json_object_object_add(all, "ok", json_object_new_boolean(good));
	json_object_object_add(all, "code", json_object_new_string(context->end.code));
	json_object_object_add(all, "message", json_object_new_string(context->end.text));
	json_object_object_foreach(context->report, name, value)
		json_object_object_add(all, name, json_object_get(value));
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
	                                             JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
}

static struct json_object *get(struct json_object *object, const char *name) {
	struct json_object *value = NULL;
	json_object_object_get_ex(object, name, &value);
	return value;
}

static const char *text(struct json_object *object, const char *name) {
	struct json_object *value = get(object, name);
	return value ? json_object_get_string(value) : "";
}

static void print_time(const char *label, struct json_object *value) {
	char words[64] = "never";
	time_t when = value ? (time_t)json_object_get_int64(value) : 0;
	struct tm parts;
	if (when && gmtime_r(&when, &parts))
		strftime(words, sizeof words, "%F %T UTC", &parts);
	printf("%s%s\n", label, words);
}

static void print_slots(struct json_object *report) {
	struct json_object *slots = get(report, "slots"), *entries = get(report, "entries");
	for (size_t i = 0; slots && i < json_object_array_length(slots); i++) {
		struct json_object *slot = json_object_array_get_idx(slots, i);
		const char *version = text(slot, "version");
		printf("slot %s:     %s%s\n", text(slot, "slot"), version[0] ? version : "empty",
		       json_object_get_boolean(get(slot, "running")) ? ", running" : "");
	}
	for (size_t i = 0; entries && i < json_object_array_length(entries); i++) {
		struct json_object *entry = json_object_array_get_idx(entries, i), *left = get(entry, "left");
		printf("entry:      %s", text(entry, "name"));
		if (left)
			printf(", %d attempts left", json_object_get_int(left));
		putchar('\n');
	}
}

static void print_status(struct json_object *report) {
	struct json_object *failed = get(report, "failed"), *error = get(report, "last_error");
	const char *next = text(report, "pending"), *wrong = text(report, "settings_error");
	printf("running:    %s %s\n", text(get(report, "running"), "image_id"), text(get(report, "running"), "version"));
	printf("next boot:  %s\n", next[0] ? next : "the same");
	print_slots(report);
	for (size_t i = 0; failed && i < json_object_array_length(failed); i++) {
		struct json_object *one = json_object_array_get_idx(failed, i);
		printf("failed:     %s, %s: %s\n", text(one, "version"), text(one, "kind"), text(one, "reason"));
	}
	print_time("last check: ", get(report, "last_check"));
	print_time("next check: ", get(report, "next_check"));
	if (error)
		printf("last error: %s: %s\n", text(error, "code"), text(error, "message"));
	if (wrong[0])
		printf("settings:   %s\n", wrong);
}

static void print_defaults(struct json_object *list) {
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		printf("%-8s /etc/%s%s\n", text(item, "change"), text(item, "path"),
		       json_object_get_boolean(get(item, "hidden")) ? " (hidden by this machine's own)" : "");
	}
}

void report_words(const struct context *context, bool good) {
	if (!good) {
		fprintf(stderr, "colvert-update: %s: %s\n", context->end.code, context->end.text);
		return;
	}
	if (get(context->report, "running")) {
		print_status(context->report);
		return;
	}
	if (get(context->report, "defaults"))
		print_defaults(get(context->report, "defaults"));
	puts(context->end.text);
}
