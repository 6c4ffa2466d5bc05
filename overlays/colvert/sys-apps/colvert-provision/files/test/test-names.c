#include <colvert/check.h>

#include "bounds.h"
#include "names.h"

static bool host(const char *text, const char *want) {
	char out[HOST_NAME_LENGTH + 1] = "";
	bool good = host_name_accept(text, strlen(text), out);
	return want ? good && strcmp(out, want) == 0 : !good;
}

static void host_names(void) {
	CHECK(host("web-1", "web-1"));
	CHECK(host("WEB.Example.ORG\n", "web.example.org"));
	CHECK(host("a", "a"));
	CHECK(host("ip-10-0-0-1.eu-west-1.compute.internal\r\n", "ip-10-0-0-1.eu-west-1.compute.internal"));
	/* too long for the kernel: the first label stays */
	CHECK(host("web.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.org", "web"));
	static const char *const bad[] = {
	    "", "\n", ".", "a..b", ".a", "a.", "-a", "a-", "a b", "a_b", "a\nb", "a\n\nroot::0", "a/b", "../a", "a\x1b[2J",
	    "10.0.0.1", "123", "localhost", "localhost.localdomain", "\xc3\xa4", "\xff\xfe", "a;reboot", "$(reboot)",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(host(bad[i], NULL));
	char out[HOST_NAME_LENGTH + 1], huge[4096];
	CHECK(!host_name_accept("a\0b", 3, out));
	memset(huge, 'a', sizeof huge);
	CHECK(!host_name_accept(huge, sizeof huge, out));
}

static bool id(const char *text) {
	char out[ID_MAX + 1];
	return instance_id_accept(text, strlen(text), out);
}

static void instance_ids(void) {
	CHECK(id("i-0123456789abcdef0"));
	CHECK(id("i-0123456789abcdef0\n"));
	CHECK(id("9d1f8a0e-1111-2222-3333-444455556666"));
	CHECK(!id("") && !id("a b") && !id("a/b") && !id("a\nb") && !id("<html>") && !id("\xff"));
	char huge[ID_MAX + 2];
	memset(huge, 'a', sizeof huge - 1);
	huge[sizeof huge - 1] = '\0';
	CHECK(!id(huge));
}

static bool path(const char *name, bool encrypted, const char *want) {
	char out[640];
	enum place where;
	bool good = credential_path(name, encrypted, &where, out, sizeof out);
	return want ? good && strcmp(out, want) == 0 : !good;
}

static void credential_paths(void) {
	CHECK(path("tmpfiles.extra", false, "etc/credstore/tmpfiles.extra"));
	CHECK(path("passwd.hashed-password.root", false, "etc/credstore/passwd.hashed-password.root"));
	CHECK(path("my.secret", true, "etc/credstore.encrypted/my.secret"));
	CHECK(path("systemd.extra-unit.a.service", false, "etc/systemd/system/a.service"));
	CHECK(path("systemd.extra-unit.a@b.service", false, "etc/systemd/system/a@b.service"));
	CHECK(path("systemd.unit-dropin.a.service", false, "etc/systemd/system/a.service.d/50-credential.conf"));
	CHECK(path("systemd.unit-dropin.a.service~10-x", false, "etc/systemd/system/a.service.d/10-x.conf"));
	static const char *const bad[] = {
	    "", ".", "..", "../a", "a/b", "/etc/passwd", ".hidden", "a b", "a\nb", "a:b", "\xc3\xa4", "\xff", "a\x7f",
	    "systemd.extra-unit.", "systemd.extra-unit.service", "systemd.extra-unit..service", "systemd.extra-unit.a",
	    "systemd.extra-unit.a.conf", "systemd.extra-unit.../../a.service", "systemd.extra-unit.a/b.service",
	    "systemd.unit-dropin.", "systemd.unit-dropin.a.service~", "systemd.unit-dropin.a.service~..",
	    "systemd.unit-dropin.a.service~../b", "systemd.unit-dropin.~a", "systemd.unit-dropin.a.service~b~c",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(path(bad[i], false, NULL));
	CHECK(path("systemd.extra-unit.a.service", true, NULL));
	char huge[300];
	memset(huge, 'a', sizeof huge - 1);
	huge[sizeof huge - 1] = '\0';
	CHECK(path(huge, false, NULL));
}

static void text(void) {
	CHECK(utf8_valid("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10));
	/* cut short, overlong, surrogate, beyond the end, lone continuation */
	CHECK(!utf8_valid("\xc3", 1) && !utf8_valid("\xc0\x80", 2) && !utf8_valid("\xed\xa0\x80", 3));
	CHECK(!utf8_valid("\xf4\x90\x80\x80", 4) && !utf8_valid("\x80", 1) && !utf8_valid("\xff", 1));
}

int main(void) {
	host_names();
	instance_ids();
	credential_paths();
	text();
}
