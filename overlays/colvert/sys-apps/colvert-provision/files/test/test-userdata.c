#include <colvert/check.h>

#include "userdata.h"

struct seen {
	unsigned count;
	struct blob text;
};

static void note(void *context, const struct credential *credential) {
	struct seen *seen = context;
	seen->count++;
	blob_add_text(&seen->text, credential->name, 1 << 20);
	blob_add_text(&seen->text, credential->encrypted ? "~" : "=", 1 << 20);
	blob_add(&seen->text, credential->data, credential->size, 1 << 20);
	blob_add_text(&seen->text, ";", 1 << 20);
}

/* What comes of a document: what was taken, or NULL where it is none. */
static const char *take(const char *text, unsigned *refused) {
	static struct seen seen;
	blob_done(&seen.text);
	seen.count = 0;
	blob_add_text(&seen.text, "", 1);
	return user_data_credentials(text, strlen(text), note, &seen, refused) ? seen.text.data : NULL;
}

static enum user_data form(const char *text) {
	return user_data_form(text, strlen(text));
}

static void forms(void) {
	CHECK(form("") == USER_DATA_NONE && form(" \n\t ") == USER_DATA_NONE);
	CHECK(form("#!/bin/sh\n") == USER_DATA_SCRIPT);
	CHECK(form("{\"systemd.credentials\":[]}") == USER_DATA_CREDENTIALS);
	CHECK(form(" \n{ }") == USER_DATA_CREDENTIALS);
	CHECK(form("#systemd-userdata\n[") == USER_DATA_CREDENTIALS);
	static const char *const others[] = {"#cloud-config\nusers: []", "{% if %}", "[1]", "{", "#!", "\x1f\x8b\x08", "Content-Type: multipart/mixed", "\xff\xfe", "true"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		CHECK(form(others[i]) == USER_DATA_UNKNOWN);
	CHECK(user_data_form("\0\0\0", 3) == USER_DATA_UNKNOWN);
}

static void documents(void) {
	unsigned refused;
	CHECK_TEXT(take("{}", &refused), "");
	CHECK_TEXT(take("{\"other\": 1}", &refused), "");
	CHECK_TEXT(take("#systemd-userdata\n{\"systemd.credentials\":[{\"name\":\"a\",\"text\":\"b\"}]}", &refused), "a=b;");
	CHECK_TEXT(
	    take(
	        "{\"systemd.credentials\":[{\"name\":\"a\",\"text\":\"one\\ntwo\"},{\"name\":\"b\",\"data\":\"Zm9v\"},"
	        "{\"name\":\"c\",\"encrypted\":\"Zm9v\"},{\"name\":\"d\",\"text\":\"\"}],\"x\":{}}",
	        &refused),
	    "a=one\ntwo;b=foo;c~Zm9v;d=;");
	CHECK(refused == 0);
	/* good ones are taken, whatever stands beside them */
	CHECK_TEXT(
	    take(
	        "{\"systemd.credentials\":[{\"name\":\"../a\",\"text\":\"x\"},{\"name\":\"a\",\"text\":1},{\"text\":\"x\"},"
	        "{\"name\":\"a\"},{\"name\":\"a\",\"text\":\"x\",\"data\":\"Zm9v\"},{\"name\":\"a\",\"data\":\"!\"},"
	        "{\"name\":\"a\",\"encrypted\":\"!\"},{\"name\":\"a\\u0000b\",\"text\":\"x\"},{\"name\":\"a\\nb\",\"text\":\"x\"},"
	        "{\"name\":\"\",\"text\":\"x\"},7,null,[],{\"name\":\"good\",\"text\":\"x\"}]}",
	        &refused),
	    "good=x;");
	CHECK(refused == 13);
	static const char *const bad[] = {
	    "",      "[]",   "{",    "{\"systemd.credentials\":{}}", "{\"systemd.credentials\":[}", "{} {}", "{}x",
	    "\"a\"", "null", "{'a':1}", "{\"a\":\"\xff\"}",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (take(bad[i], &refused)) {
			fprintf(stderr, "taken: %s\n", bad[i]);
			exit(1);
		}
}

static void hostile(void) {
	unsigned refused;
	AUTO_BLOB deep = {0};
	CHECK(blob_add_text(&deep, "{\"systemd.credentials\":", 1 << 20));
	for (int i = 0; i < 100000; i++)
		CHECK(blob_add_text(&deep, "[", 1 << 20));
	CHECK(!take(deep.data, &refused));
	AUTO_BLOB many = {0};
	CHECK(blob_add_text(&many, "{\"systemd.credentials\":[{}", 1 << 20));
	for (int i = 0; i < 1000; i++)
		CHECK(blob_add_text(&many, ",{\"name\":\"a\",\"text\":\"\"}", 1 << 20));
	CHECK(blob_add_text(&many, "]}", 1 << 20));
	CHECK(take(many.data, &refused) && refused == 1 + 1000 - 255);
}

int main(void) {
	forms();
	documents();
	hostile();
}
