#include "release.h"

#include <stdlib.h>

const char *part_word(enum part_name name) {
	static const char *const words[PARTS] = {"usr", "verity", "uki", "signature"};
	return words[name];
}

bool release_has(const struct release *release, enum part_name name) { return release->parts[name].count > 0; }

void release_done(struct release *release) {
	for (int i = 0; i < PARTS; i++)
		free(release->parts[i].ways);
	*release = (struct release){0};
}
