/* What a command is given, and what it tells. */
#pragma once

#include <json-c/json.h>

#include "problem.h"

struct options {
	const char *version, *from, *into, *root;
	bool json, automatic, allow_older, allow_failed, reboot;
};

struct context {
	struct options options;
	/* the directory that stands for / */
	int root;
	/* false in tests, where --root names another directory: there are no slots and no service manager */
	bool live;
	/* for --json; people get it in words */
	struct json_object *report;
	/* how it ended: a code and a sentence, also where it ended well */
	struct problem end;
};

/* Ends a command well. */
bool done(struct context *context, const char *code, const char *format, ...) PRINTF(3, 4);
