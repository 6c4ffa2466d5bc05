#include "apply.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <colvert/check.h>

#include "bounds.h"
#include "sample.h"

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
	(void)info, (void)type, (void)where;
	return remove(path);
}

struct machine {
	char name[32];
	struct target target;
};

static void machine_done(struct machine *machine) {
	close(machine->target.dir);
	nftw(machine->name, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const struct machine *machine, const char *path, const char *text) {
	CHECK(make_parents(machine->target.dir, path, 0755) == 0);
	CHECK(write_file(machine->target.dir, path, text, strlen(text), 0644) == 0);
}

static struct machine machine_new(void) {
	struct machine machine = {"/tmp/test-apply.XXXXXX", {-1, false}};
	CHECK(mkdtemp(machine.name));
	machine.target.dir = open(machine.name, O_RDONLY | O_DIRECTORY);
	put(&machine, "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	put(&machine, "run/x", "");
	return machine;
}

/* The text of a file, "-" where it is missing. */
static const char *get(const struct machine *machine, const char *path) {
	static struct blob text;
	blob_done(&text);
	return read_file(machine->target.dir, path, 1 << 20, &text) == 0 ? text.data : "-";
}

static unsigned mode(const struct machine *machine, const char *path) {
	struct stat info;
	return fstatat(machine->target.dir, path, &info, AT_SYMLINK_NOFOLLOW) == 0 ? info.st_mode & 07777 : 0;
}

static void run(const struct machine *machine, const char *id, const char *name, const char *keys, const char *data, bool complete) {
	AUTO(struct answer, answer_done) answer = {.complete = complete};
	strcpy(answer.id, id);
	strcpy(answer.host_name, name);
	CHECK(blob_add_text(&answer.keys, keys, KEYS_MAX) && blob_add_text(&answer.user_data, data, USER_DATA_MAX));
	CHECK(apply(&machine->target, &answer) == 0);
}

#define KEYS "root/.ssh/authorized_keys.d/provision"
#define STATE "var/lib/colvert/provision/"

static void once(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	run(&m, "i-1", "one", KEY_A "\n", "#!/bin/sh\n", true);
	CHECK_TEXT(get(&m, KEYS), KEY_A "\n");
	CHECK_TEXT(get(&m, "etc/hostname"), "one\n");
	CHECK_TEXT(get(&m, STATE "script"), "#!/bin/sh\n");
	CHECK_TEXT(get(&m, STATE "instance-id"), "i-1\n");
	CHECK_TEXT(get(&m, "run/manager"), "start colvert-provision-script.service\n");
	CHECK(mode(&m, KEYS) == 0600 && mode(&m, STATE "script") == 0700 && mode(&m, "root/.ssh") == 0700);
	/* the same instance again: nothing */
	CHECK(unlinkat(m.target.dir, STATE "script", 0) == 0);
	run(&m, "i-1", "two", KEY_B "\n", "#!/bin/sh\n", true);
	CHECK_TEXT(get(&m, KEYS), KEY_A "\n");
	CHECK_TEXT(get(&m, STATE "script"), "-");
	/* another one: what the first one was given is gone */
	run(&m, "i-2", "two", "", "", true);
	CHECK_TEXT(get(&m, KEYS), "-");
	CHECK_TEXT(get(&m, "etc/hostname"), "two\n");
}

static void incomplete(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	run(&m, "i-1", "one", KEY_A "\n", "#!/bin/sh\n", false);
	CHECK_TEXT(get(&m, KEYS), KEY_A "\n");
	CHECK_TEXT(get(&m, STATE "script"), "-");
	CHECK_TEXT(get(&m, STATE "instance-id"), "-");
	run(&m, "i-1", "one", KEY_A "\n", "#!/bin/sh\n", true);
	CHECK_TEXT(get(&m, STATE "script"), "#!/bin/sh\n");
}

static void own_id(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	run(&m, "", "", KEY_A "\n", "", true);
	CHECK_TEXT(get(&m, STATE "instance-id"), "0123456789abcdef0123456789abcdef\n");
	put(&m, "sys/class/dmi/id/product_uuid", "00000000-0000-0000-0000-000000000000\n");
	run(&m, "", "", "", "", true);
	CHECK_TEXT(get(&m, KEYS), KEY_A "\n");
	put(&m, "sys/class/dmi/id/product_uuid", "9d1f8a0e-1111-2222-3333-444455556666\n");
	run(&m, "", "", "", "", true);
	CHECK_TEXT(get(&m, STATE "instance-id"), "9d1f8a0e-1111-2222-3333-444455556666\n");
}

static void host_name_stays(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	put(&m, "etc/hostname", "mine\n");
	run(&m, "i-1", "theirs", "", "", true);
	CHECK_TEXT(get(&m, "etc/hostname"), "mine\n");
	run(&m, "i-2", "theirs", "", "", true);
	CHECK_TEXT(get(&m, "etc/hostname"), "mine\n");
}

static void credentials(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	put(&m, "etc/credstore/tmpfiles.extra", "mine");
	run(&m, "i-1", "one", "",
	    "{\"systemd.credentials\":[{\"name\":\"my.secret\",\"text\":\"s\"},{\"name\":\"tmpfiles.extra\",\"text\":\"x\"},"
	    "{\"name\":\"enc\",\"encrypted\":\"Zm9v\"},{\"name\":\"firstboot.hostname\",\"text\":\"Chosen\"},"
	    "{\"name\":\"systemd.extra-unit.a.service\",\"text\":\"[Service]\\n\"},"
	    "{\"name\":\"systemd.unit-dropin.multi-user.target\",\"data\":\"W1VuaXRd\"},"
	    "{\"name\":\"systemd.extra-unit.../b.service\",\"text\":\"x\"}]}",
	    true);
	CHECK_TEXT(get(&m, "etc/credstore/my.secret"), "s");
	CHECK_TEXT(get(&m, "etc/credstore/tmpfiles.extra"), "mine");
	CHECK_TEXT(get(&m, "etc/credstore.encrypted/enc"), "Zm9v");
	CHECK_TEXT(get(&m, "etc/systemd/system/a.service"), "[Service]\n");
	CHECK_TEXT(get(&m, "etc/systemd/system/multi-user.target.d/50-credential.conf"), "[Unit]");
	CHECK_TEXT(get(&m, "etc/hostname"), "chosen\n");
	CHECK_TEXT(
	    get(&m, "run/manager"),
	    "daemon-reload \nstart colvert-provision-credentials.service\nstart multi-user.target\n");
	CHECK(mode(&m, "etc/credstore/my.secret") == 0600);
	run(&m, "i-2", "", "", "", true);
	CHECK_TEXT(get(&m, "etc/credstore/my.secret"), "-");
	CHECK_TEXT(get(&m, "etc/systemd/system/a.service"), "-");
	CHECK_TEXT(get(&m, "etc/credstore/tmpfiles.extra"), "mine");
}

static void unknown(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	run(&m, "i-1", "", "", "#cloud-config\n", true);
	CHECK_TEXT(get(&m, STATE "instance-id"), "i-1\n");
	CHECK_TEXT(get(&m, "run/manager"), "-");
	run(&m, "i-2", "", "", "{\"systemd.credentials\": 7}", true);
	CHECK_TEXT(get(&m, "run/manager"), "-");
}

static void vagrant(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	AUTO(struct answer, answer_done) answer = {.complete = true, .vagrant = true};
	CHECK(blob_add_text(&answer.keys, KEY_A "\n", KEYS_MAX));
	CHECK(apply(&m.target, &answer) == 0);
	CHECK_TEXT(get(&m, "root/.ssh/authorized_keys"), KEY_A "\n");
	CHECK_TEXT(get(&m, KEYS), "-");
}

/* The directory between the two steps. */
static void handing_over(void) {
	AUTO(struct machine, machine_done) m = machine_new();
	AUTO(struct answer, answer_done) out = {.complete = true};
	AUTO(struct answer, answer_done) in = {0};
	CHECK(answer_load(m.target.dir, &in) < 0);
	strcpy(out.id, "i-1");
	strcpy(out.host_name, "one");
	CHECK(blob_add(&out.user_data, "a\0b", 3, 9) && blob_add_text(&out.keys, KEY_A "\n", KEYS_MAX));
	CHECK(answer_save(m.target.dir, &out) == 0 && answer_load(m.target.dir, &in) == 0);
	CHECK(in.complete && !in.vagrant && in.user_data.size == 3 && in.keys.size == out.keys.size);
	CHECK(mode(&m, "user-data") == 0600);
	/* what was written by somebody who has taken over the first step */
	answer_done(&in);
	put(&m, "keys", "command=\"x\" " KEY_A "\n");
	put(&m, "hostname", "a\nb");
	CHECK(answer_load(m.target.dir, &in) == 0 && !in.keys.size && !in.host_name[0]);
	answer_done(&in);
	put(&m, "id", "a/../b");
	CHECK(answer_load(m.target.dir, &in) < 0);
	answer_done(&in);
	put(&m, "id", "i-1");
	CHECK(unlinkat(m.target.dir, "user-data", 0) == 0 && symlinkat("etc/machine-id", m.target.dir, "user-data") == 0);
	CHECK(answer_load(m.target.dir, &in) < 0);
	answer_done(&in);
	CHECK(unlinkat(m.target.dir, "user-data", 0) == 0 && mkfifoat(m.target.dir, "user-data", 0600) == 0);
	CHECK(answer_load(m.target.dir, &in) < 0);
}

int main(void) {
	once();
	incomplete();
	own_id();
	host_name_stays();
	credentials();
	unknown();
	vagrant();
	handing_over();
}
