#include <colvert/check.h>
#include <colvert/json.h>

static bool readable(const char *text) {
	AUTO_JSON *object = json_read(text, strlen(text));
	return object != NULL;
}

int main(void) {
	static const char good[] = "{\"name\": \"a\\u0000b\", \"number\": 1} \r\n";
	AUTO_JSON *object = json_read(good, sizeof good - 1);
	CHECK(object);
	const char *text = NULL;
	size_t size = 0;
	CHECK(json_text(object, "name", &text, &size) && size == 3 && memcmp(text, "a\0b", 3) == 0);
	CHECK(!json_text(object, "number", &text, &size));
	CHECK(!json_text(object, "missing", &text, &size));
	CHECK(readable("{}"));
	static const char *const bad[] = {"", "[]", "1", "{", "{} x", "{}{}", "{\"a\": \"\xff\"}"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!readable(bad[i]));
	CHECK(readable("{\"a\":[[[[[[[[[[]]]]]]]]]]}"));
	CHECK(!readable("{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}"));
}
