#include <colvert/check.h>
#include <colvert/util.h>

#include "version.h"

/* In ascending order. tests/build/update_client/test_words.py has systemd-analyze say the same. */
static const char *const ascending[] = {
    "~",      "~1.a",   "",      "0~rc1", "0",     "1~~",      "1~alpha", "1~rc1",  "1~rc2",  "1",       "1-",     "1-1",
    "1-2",    "1^",     "1^a",   "1^1",   "1.",    "1.a",      "1.b",     "1.ba",   "1.0",    "1.0.1",   "1.1",    "1.2",
    "1.9",    "1.10",   "1.11a", "1.11b", "1a",    "1a1",      "1b",      "2~",     "2",      "9.9.9",   "10",     "99",
    "261122.1a2b3c", "261122.2", "261123", "99999999999999999999999", "100000000000000000000000",
};
/* what stands between says nothing, and neither do leading zeros */
static const char *const equal[][2] = {{"1_2", "1+2"}, {"001", "1"}, {"1.010", "1.10"}, {"a", "a"}, {"1 ", "1"}, {"", "_"}};

static void orders(void) {
	for (size_t i = 0; i < COUNT(ascending); i++) {
		CHECK(version_compare(ascending[i], ascending[i]) == 0);
		for (size_t k = i + 1; k < COUNT(ascending); k++) {
			if (version_compare(ascending[i], ascending[k]) >= 0 || version_compare(ascending[k], ascending[i]) <= 0) {
				fprintf(stderr, "%s < %s\n", ascending[i], ascending[k]);
				exit(1);
			}
		}
	}
	for (size_t i = 0; i < COUNT(equal); i++)
		CHECK(version_compare(equal[i][0], equal[i][1]) == 0 && version_compare(equal[i][1], equal[i][0]) == 0);
}

static void valid(void) {
	static const char *const good[] = {"1", "1.2.3", "261122.1a2b3c", "261122.dirty", "0", "1a"};
	static const char *const bad[] = {
	    "", ".", "1.", ".1", "1..2", "a", "-1", "1-1", "1_2", "1+3", "1~rc1", "1^", "1/2", "../1", "1 ", "1\n", "\xc3\xa4",
	    "1234567890123456789012345678901234567890",
	};
	for (size_t i = 0; i < COUNT(good); i++)
		CHECK(version_valid(good[i]));
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(!version_valid(bad[i]));
}

int main(void) {
	orders();
	valid();
}
