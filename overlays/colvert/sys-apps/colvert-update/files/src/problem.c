#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fail(struct problem *p, const char *code, const char *format, ...) {
	va_list words;
	p->code = code;
	va_start(words, format);
	vsnprintf(p->text, sizeof p->text, format, words);
	va_end(words);
	return false;
}

int problem_status(const struct problem *p) {
	static const char *const broken[] = {"busy", "network", "space", "disk", "verity", "esp-full"};
	for (size_t i = 0; i < COUNT(broken); i++)
		if (strcmp(p->code, broken[i]) == 0)
			return 1;
	return 2;
}
