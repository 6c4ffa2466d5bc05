#include <colvert/check.h>

#include "entry.h"

int main(void) {
	struct entry entry;
	CHECK(entry_parse("colvert_1.2.3.efi", &entry) && entry.left == -1 && entry.done == -1);
	CHECK_TEXT(entry.id, "colvert");
	CHECK_TEXT(entry.version, "1.2.3");
	CHECK(entry_parse("colvert_2+3.efi", &entry) && entry.left == 3 && entry.done == -1);
	CHECK(entry_parse("\\EFI\\Linux\\colvert_2+0-3.efi", &entry) && entry.left == 0 && entry.done == 3);
	CHECK_TEXT(entry.version, "2");
	static const char *const bad[] = {"", ".efi", "colvert.efi", "_2.efi", "colvert_.efi", "colvert_2+.efi",
	                                  "colvert_2+a.efi", "colvert_2+1-.efi", "colvert_2+1-2-3.efi",
	                                  "colvert_2+99999.efi", "colvert_2+1 .efi", "colvert_2.conf", "a+b_2.efi"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!entry_parse(bad[i], &entry));
}
