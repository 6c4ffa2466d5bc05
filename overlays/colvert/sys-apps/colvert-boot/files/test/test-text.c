#include "text.h"

#include <fcntl.h>

#include <colvert/check.h>

int main(void) {
	char out[64], text[64] = " a\n\nb\tc \n";
	one_line(text);
	CHECK_TEXT(text, "a b c");
	CHECK(find_word("ro colvert.entry=x_1+2-1.efi quiet", "colvert.entry", out, sizeof out));
	CHECK_TEXT(out, "x_1+2-1.efi");
	CHECK(!find_word("not.colvert.entry=x", "colvert.entry", out, sizeof out));
	CHECK(find_word("A=1\nB=2\n", "B", out, sizeof out) && strcmp(out, "2") == 0);
	CHECK(!find_word("key=too-long", "key", out, 4));
	snprintf(text, sizeof text, "first line\nsecond line\nthird");
	keep_end(text, 12);
	CHECK_TEXT(text, "third");
	snprintf(text, sizeof text, "one long line without end");
	keep_end(text, 5);
	CHECK_TEXT(text, " end");
	char folder[] = "/tmp/test-text-XXXXXX", path[128];
	CHECK(mkdtemp(folder) && print(path, sizeof path, "%s/a/b/c", folder) && make_directories(path));
	CHECK(print(path, sizeof path, "%s/a/b/file", folder) && write_text(AT_FDCWD, path, "content"));
	CHECK(read_text(AT_FDCWD, path, out, sizeof out) && strcmp(out, "content") == 0);
	CHECK(!print(out, 3, "long"));
}
