#include <colvert/check.h>

#include "note.h"

static const char PANIC[] = "<6>[    1.000000] Run /init as init process\n"
                            "<0>[   12.345678] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"
                            "<4>[   12.345679] CPU: 0 PID: 1 Comm: false Not tainted\n";
static const char VERITY[] = "<3>[    9.1] device-mapper: verity: 254:3: data block 0 is corrupted\n"
                             "<3>[    9.2] device-mapper: verity: 254:3: data block 77 is corrupted\n"
                             "<0>[    9.3] Kernel panic - not syncing: dm-verity device corrupted\n";

int main(void) {
	struct note note = {.version = "2", .boot = "0123", .kind = "health", .when = 42, .reason = "a = b"}, other;
	char text[NOTE_ROOM];
	CHECK(note_format(&note, text, sizeof text) && note_parse(text, &other));
	CHECK_TEXT(other.version, "2");
	CHECK_TEXT(other.boot, "0123");
	CHECK_TEXT(other.kind, "health");
	CHECK_TEXT(other.reason, "a = b");
	CHECK(other.when == 42);
	CHECK(!note_parse("", &other) && !note_parse("version=../x\nboot=1\n", &other));
	CHECK(!note_parse("version=2\nboot=a/b\n", &other));

	CHECK(note_from_dump(PANIC, &note));
	CHECK_TEXT(note.kind, "panic");
	CHECK_TEXT(note.reason, "Attempted to kill init! exitcode=0x00000100");
	CHECK(note_from_dump(VERITY, &note));
	CHECK_TEXT(note.kind, "verity");
	CHECK_TEXT(note.reason, "device-mapper: verity: 254:3: data block 77 is corrupted");
	CHECK(!note_from_dump("all is well", &note));

	note_from_errors("Failed to mount /sysusr/usr.\nAnother.\n", &note);
	CHECK_TEXT(note.kind, "initrd");
	CHECK_TEXT(note.reason, "Failed to mount /sysusr/usr. Another.");
	note_from_errors("device-mapper: verity: bad\n", &note);
	CHECK_TEXT(note.kind, "verity");
}
