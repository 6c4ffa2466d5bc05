#include "entry.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

/* Reads a number that ends where `end` says; false where there is none. */
static bool number(const char *text, const char **end, int *out) {
	if (*text < '0' || *text > '9')
		return false;
	char *after;
	long value = strtol(text, &after, 10);
	if (value > 9999)
		return false;
	*out = (int)value;
	*end = after;
	return true;
}

static bool counter(const char *text, struct entry *out) {
	if (!number(text, &text, &out->left))
		return false;
	if (*text == '-' && !number(text + 1, &text, &out->done))
		return false;
	return *text == '\0';
}

bool entry_parse(const char *name, struct entry *out) {
	*out = (struct entry){.left = -1, .done = -1};
	const char *separator;
	while ((separator = strpbrk(name, "/\\")))
		name = separator + 1;
	size_t length = strlen(name);
	char stem[128];
	if (length <= 4 || strcmp(name + length - 4, ".efi") != 0 || !print(stem, sizeof stem, "%.*s", (int)length - 4, name))
		return false;
	/* a version may hold `_` and `+` as little as an id may hold the one and the other */
	char *version = strchr(stem, '_'), *plus = strchr(stem, '+');
	if (!version || version == stem || (plus && plus < version))
		return false;
	*version++ = '\0';
	if (plus)
		*plus++ = '\0';
	return *version && print(out->id, sizeof out->id, "%s", stem) &&
	       print(out->version, sizeof out->version, "%s", version) && (!plus || counter(plus, out));
}
