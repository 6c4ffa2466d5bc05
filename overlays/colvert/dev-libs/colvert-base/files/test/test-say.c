#include <unistd.h>

#include <colvert/check.h>
#include <colvert/say.h>

int main(void) {
	int ends[2], before = dup(STDERR_FILENO);
	char words[3000], text[4096] = "";
	memset(words, 'x', sizeof words - 1);
	words[sizeof words - 1] = '\0';
	CHECK(before >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
	say(LEVEL_WARNING, "%s is %d.", "It", 7);
	ssize_t first = read(ends[0], text, sizeof text - 1);
	char line[64];
	memcpy(line, text, sizeof line);
	say(LEVEL_INFO, "%s", words);
	ssize_t second = read(ends[0], text, sizeof text - 1);
	dup2(before, STDERR_FILENO);
	CHECK(first == 12);
	CHECK_TEXT(line, "<4>It is 7.\n");
	/* what is too long is cut, and is a line all the same */
	CHECK(second == 3 + 2047 + 1);
	CHECK(strncmp(text, "<6>xxx", 6) == 0 && text[second - 1] == '\n');
}
