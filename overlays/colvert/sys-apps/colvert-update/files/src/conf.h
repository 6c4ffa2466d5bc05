/* Assignments as os-release(5) has them: KEY=value, KEY="value", KEY='value', comments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct conf {
	const char *at, *end;
	unsigned line;
	char key[64];
	char value[1024];
};

/* What the next line that says something is. */
enum conf_item { CONF_END, CONF_PAIR, CONF_BAD };

void conf_start(struct conf *conf, const char *text, size_t size);
enum conf_item conf_next(struct conf *conf);
/* The last value of a key; false where it is not there, or longer than `room`. */
bool conf_get(const char *text, size_t size, const char *key, char *out, size_t room);
