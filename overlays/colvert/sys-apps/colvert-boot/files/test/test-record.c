#include "record.h"

#include <fcntl.h>
#include <unistd.h>

#include <colvert/check.h>

#include "state.h"
#include "text.h"

static char root[64], record[4096];

/* The record of version 2; false where there is none. */
static bool read_record(void) {
	char path[256];
	return print(path, sizeof path, "%s" FAILED_DIR "/2/record.json", root) &&
	       read_text(AT_FDCWD, path, record, sizeof record);
}

static void put(const char *name, const char *text) {
	char path[256];
	CHECK(print(path, sizeof path, "%s%s", root, name));
	*strrchr(path, '/') = '\0';
	CHECK(make_directories(path));
	path[strlen(path)] = '/';
	CHECK(write_text(AT_FDCWD, path, text));
}

/* Cut off after any of its steps, a recording goes on at the next boot; the last good boot is newer than all by then. */
static void interrupted(void) {
	struct entry entry;
	struct note note = {.version = "4", .boot = "dd", .when = 4900};
	char path[256];
	CHECK(has_failed("colvert_4+0-3.efi", "1", &entry) && note_keep(root, &note));
	put(LAST_GOOD, "version=1\nwhen=9000\nnetwork=routable\n");
	put(FAILED_DIR "/4/pstore-5000.txt", "Kernel panic - not syncing: copied\n");
	for (int round = 0; round < 2; round++) {
		CHECK(note_keep(root, &note) && record_write(root, &entry, NULL));
		CHECK(print(path, sizeof path, "%s" FAILED_DIR "/4/record.json", root));
		CHECK(read_text(AT_FDCWD, path, record, sizeof record));
		CHECK(strstr(record, "\"kind\": \"panic\", \"reason\": \"copied\", \"when\": 5000"));
		CHECK(!notes_any(root, "4"));
	}
	/* it was installed again, and failed again */
	note.when = 6000;
	CHECK(note_keep(root, &note) && record_write(root, &entry, NULL));
	CHECK(read_text(AT_FDCWD, path, record, sizeof record) && strstr(record, "\"kind\": \"hang\""));
}

/* What was left in the firmware goes when it is told, and not before. */
static void left_behind(void) {
	struct note left = {.version = "3", .boot = "cc", .kind = "initrd", .when = 4000, .reason = "no disk"};
	char path[256];
	put("esp/colvert_1.efi", "");
	put("esp/colvert_3+1-2.efi", "");
	CHECK(print(path, sizeof path, "%sesp", root));
	DIR *names = opendir(path);
	CHECK(names && !records_write(root, names, "1", &left));
	CHECK(print(path, sizeof path, "%sesp/colvert_3+1-2.efi", root) && unlink(path) == 0);
	put("esp/colvert_3+0-3.efi", "");
	/* no record can be written there */
	put(FAILED_DIR "/3", "");
	rewinddir(names);
	CHECK(!records_write(root, names, "1", &left));
	CHECK(print(path, sizeof path, "%s" FAILED_DIR "/3", root) && unlink(path) == 0);
	rewinddir(names);
	CHECK(records_write(root, names, "1", &left));
	CHECK(print(path, sizeof path, "%s" FAILED_DIR "/3/record.json", root) && access(path, F_OK) == 0);
	left.version[0] = '9';
	rewinddir(names);
	CHECK(records_write(root, names, "1", &left));
	closedir(names);
}

int main(void) {
	struct entry entry;
	CHECK(has_failed("colvert_2+0-3.efi", "1", &entry) && !has_failed("colvert_2+0-3.efi", "2", &entry));
	CHECK(!has_failed("colvert_2+0.efi", "1", &entry) && !has_failed("colvert_2+1-2.efi", "1", &entry));
	CHECK(!has_failed("colvert_2.efi", "1", &entry) && has_failed("colvert_2+0-3.efi", "1", &entry));

	char text[64];
	CHECK(json_escape("a\"b\\c\nd\xff", text, sizeof text) && strcmp(text, "a\\\"b\\\\c\\u000ad?") == 0);
	CHECK(!json_escape("long", text, 4));

	snprintf(root, sizeof root, "/tmp/test-record-XXXXXX");
	CHECK(mkdtemp(root));
	strcat(root, "/");

	/* nothing is known: it hung */
	CHECK(record_write(root, &entry, NULL) && read_record());
	CHECK(strstr(record, "\"version\": \"2\", \"kind\": \"hang\"") && strstr(record, "\"attempts\": 3"));
	/* and that is told once */
	put(FAILED_DIR "/2/record.json", "told\n");
	CHECK(record_write(root, &entry, NULL) && read_record());
	CHECK_TEXT(record, "told\n");

	record_drop(root, "2");
	CHECK(!read_record());

	/* a dump that is older than the last good boot is somebody else's */
	put(LAST_GOOD, "version=1\nwhen=1000\nnetwork=routable\n");
	put(PSTORE_DIR "/0999/001/dmesg.txt", "Kernel panic - not syncing: old\n");
	struct note note = {.version = "2", .boot = "aa", .kind = "health", .when = 1500, .reason = "50-web failed"};
	CHECK(note_keep(root, &note) && record_write(root, &entry, NULL) && read_record());
	CHECK(strstr(record, "\"kind\": \"health\", \"reason\": \"50-web failed\", \"when\": 1500"));
	char path[256];
	CHECK(print(path, sizeof path, "%s" NOTES_DIR "/aa", root) && access(path, F_OK) < 0);

	/* the last that is known counts, wherever it comes from */
	put(PSTORE_DIR "/2000/001/dmesg.txt", "Kernel panic - not syncing: new\n");
	note.when = 1600;
	CHECK(note_keep(root, &note) && record_write(root, &entry, NULL) && read_record());
	CHECK(strstr(record, "\"kind\": \"panic\", \"reason\": \"new\", \"when\": 2000"));
	CHECK(print(path, sizeof path, "%s" FAILED_DIR "/2/pstore-2000.txt", root) && access(path, F_OK) == 0);
	struct note left = {.version = "2", .boot = "bb", .kind = "initrd", .when = 3000, .reason = "no disk"};
	CHECK(record_write(root, &entry, &left) && read_record() && strstr(record, "\"kind\": \"initrd\""));

	record_drop(root, "2");
	CHECK(!read_record());
	left_behind();
	interrupted();
}
