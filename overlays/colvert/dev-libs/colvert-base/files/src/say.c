#include <colvert/say.h>

#include <stdarg.h>
#include <stdio.h>

void say(enum level level, const char *format, ...) {
	char line[2048];
	va_list words;
	va_start(words, format);
	vsnprintf(line, sizeof line, format, words);
	va_end(words);
	/* the number in front is how systemd learns the priority */
	fprintf(stderr, "<%d>%s\n", (int)level, line);
}
