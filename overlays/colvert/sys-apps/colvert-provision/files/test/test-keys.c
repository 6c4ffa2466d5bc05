#include <colvert/check.h>

#include "bounds.h"
#include "keys.h"
#include "sample.h"

static struct tally add(struct blob *keys, const char *text) {
	struct tally tally = {0};
	blob_done(keys);
	keys_add(keys, text, strlen(text), &tally);
	return tally;
}

static void good(void) {
	AUTO_BLOB keys = {0};
	struct tally tally = add(&keys, "# mine\n\n  " KEY_A "   me@home  \r\n" KEY_B "\n");
	CHECK(tally.taken == 2 && tally.refused == 0);
	CHECK_TEXT(keys.data, KEY_A " me@home\n" KEY_B "\n");
	/* a comment that is not plain is left out, the key stays */
	tally = add(&keys, KEY_A " \xc3\xa4");
	CHECK(tally.taken == 1);
	CHECK_TEXT(keys.data, KEY_A "\n");
}

static void bad(void) {
	AUTO_BLOB keys = {0};
	static const char *const lines[] = {
	    "command=\"reboot\" " KEY_A,
	    "restrict " KEY_A,
	    "from=\"*\" " KEY_A,
	    "cert-authority " KEY_A,
	    "ssh-dss AAAAB3NzaC1kc3MAAAAA",
	    "ssh-ed25519",
	    "ssh-ed25519 ",
	    "ssh-ed25519 !!!!",
	    /* one type's name on another's key */
	    "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
	    /* a tab, an escape, a delete, a broken sequence */
	    "ssh-ed25519\tAAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
	    KEY_A " \x1b[2J",
	    KEY_A " \x7f",
	    KEY_A " \xff",
	    "<html><body>404</body></html>",
	    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
	};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct tally tally = add(&keys, lines[i]);
		CHECK(tally.taken == 0 && tally.refused == 1 && keys.size == 0);
	}
	struct tally tally = {0};
	keys_add(&keys, KEY_A "\0 x", strlen(KEY_A) + 3, &tally);
	CHECK(tally.taken == 0 && tally.refused == 1);
}

static void huge(void) {
	AUTO_BLOB keys = {0};
	AUTO_BLOB text = {0};
	for (int i = 0; i < 5000; i++)
		CHECK(blob_add_text(&text, KEY_A "\n", 1 << 20));
	struct tally tally = add(&keys, text.data);
	CHECK(tally.taken == 256 && tally.refused == 4744 && keys.size <= KEYS_MAX);
	blob_done(&text);
	CHECK(blob_add_text(&text, KEY_A " ", 1 << 20));
	for (int i = 0; i < 10000; i++)
		CHECK(blob_add_text(&text, "c", 1 << 20));
	tally = add(&keys, text.data);
	CHECK(tally.taken == 0 && tally.refused == 1);
}

static void gce(void) {
	AUTO_BLOB keys = {0};
	struct tally tally = {0};
	static const char text[] =
	    "alice:" KEY_A " alice\n"
	    "bob:" KEY_B " google-ssh {\"userName\":\"bob\",\"expireOn\":\"2018-12-04T20:12:00+0000\"}\n" KEY_B "\n"
	    ":" KEY_B " nobody\n"
	    "eve:command=\"reboot\" " KEY_B "\n";
	keys_add_gce(&keys, text, sizeof text - 1, &tally);
	CHECK(tally.taken == 2 && tally.refused == 3);
	CHECK_TEXT(keys.data, KEY_A " alice\n" KEY_B " nobody\n");
}

int main(void) {
	good();
	bad();
	huge();
	gce();
}
