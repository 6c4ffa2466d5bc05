#include <colvert/base64.h>

#include <colvert/check.h>

static bool decode(const char *text, bool loose, size_t limit, struct blob *out) {
	blob_done(out);
	return base64_decode(text, strlen(text), loose, limit, out);
}

int main(void) {
	AUTO_BLOB out = {0};
	CHECK(decode("", false, 9, &out) && out.size == 0);
	CHECK(decode("Zg==", false, 9, &out) && out.size == 1 && out.data[0] == 'f');
	CHECK(decode("Zm8=", false, 9, &out) && out.size == 2);
	CHECK(decode("Zm9v", false, 9, &out) && strcmp(out.data, "foo") == 0);
	CHECK(decode("Zm9v\r\nYmFy\n", true, 9, &out) && strcmp(out.data, "foobar") == 0);
	CHECK(!decode("Zm9v\nYmFy", false, 9, &out));
	CHECK(!decode("Zm9vYmFy", false, 5, &out) && out.size == 0);
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zm8", "Zm8==", "=", "====", "Zg==Zg==", "Zg=v", "Zm9v!", "Zm9-", "Z===", "Zm9v=", "\xc3\xa4\xc3\xa4"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!decode(bad[i], true, 99, &out));
	CHECK(!base64_decode("Zm\0v", 4, true, 9, &out));
}
