/* Keeps what is known of boots: those that are counted, those that failed, the last good one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <colvert/fd.h>
#include <colvert/say.h>

#include "boot.h"
#include "efivar.h"
#include "guard.h"
#include "record.h"
#include "state.h"
#include "text.h"

#define BEGUN "/run/colvert/boot-begun"
#define GOOD "/run/colvert/boot-good"

static bool touch(const char *path) {
	return make_directories("/run/colvert") && write_text(AT_FDCWD, path, "");
}

/* The system's init has begun: the guard goes, and if the boot fails, its journal can be found. */
static bool begin(int efivars, const struct boot *boot) {
	(void)efivars;
	struct note note = boot_note(boot);
	return touch(BEGUN) && note_keep("/", &note);
}

static bool keep_in_firmware(int efivars, const struct note *note) {
	char text[NOTE_ROOM];
	return note_format(note, text, sizeof text) && failure_write(efivars, text);
}

/* A boot of the real root has failed. */
static bool failed(int efivars, const struct boot *boot, const char *kind, const char *reason) {
	struct note note = boot_note(boot);
	print(note.kind, sizeof note.kind, "%s", kind);
	print(note.reason, sizeof note.reason, "%s", reason);
	one_line(note.reason);
	/* a disk that takes no more writes may be what it failed of */
	return note_keep("/", &note) || keep_in_firmware(efivars, &note);
}

/* A boot of the initrd has failed. */
static bool last_words(int efivars, const struct boot *boot) {
	static char errors[32 << 10];
	const char *const argv[] = {"/usr/bin/journalctl", "--boot", "--quiet", "--no-pager", "--output=cat",
	                            "--priority=err", "--lines=20", NULL};
	struct note note = boot_note(boot);
	capture(argv, errors, sizeof errors);
	keep_end(errors, REASON_ROOM);
	note_from_errors(errors, &note);
	return keep_in_firmware(efivars, &note);
}

/* What the next version has to have as well. */
static bool remember(const struct boot *boot) {
	char net[1024] = "", operational[32] = "unknown", text[256];
	if (boot->counted && access(GOOD, F_OK) < 0)
		return true;
	if (read_text(AT_FDCWD, "/run/systemd/netif/state", net, sizeof net))
		find_word(net, "OPER_STATE", operational, sizeof operational);
	return make_directories("/" STATE_DIR) &&
	       print(text, sizeof text, "version=%s\nwhen=%lld\nnetwork=%s\n", boot->entry.version,
	             (long long)time(NULL), operational) &&
	       write_text(AT_FDCWD, "/" LAST_GOOD, text);
}

/* The boot was blessed. */
static bool good(int efivars, const struct boot *boot) {
	char text[NOTE_ROOM];
	struct note note;
	record_drop("/", boot->entry.version);
	notes_drop("/", boot->entry.version);
	if (failure_read(efivars, text, sizeof text) &&
	    (!note_parse(text, &note) || strcmp(note.version, boot->entry.version) == 0))
		failure_delete(efivars);
	return touch(GOOD) && remember(boot);
}

/* The directory of the boot entries; -1 where there is none. The ESP is mounted by looking. */
static int open_entries(void) {
	static const char *const argv[] = {"/usr/bin/bootctl", "--print-esp-path", NULL};
	char esp[PATH_ROOM], path[PATH_ROOM];
	if (!capture(argv, esp, sizeof esp))
		return -1;
	one_line(esp);
	return print(path, sizeof path, "%s/EFI/Linux", esp) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* Takes the counter off the entry that kexec started: systemd-bless-boot knows the firmware's boot only. */
static bool bless(const struct boot *boot) {
	char plain[160];
	if (!boot->kexec || boot->entry.left < 0)
		return true;
	AUTO_FD folder = open_entries();
	/* FAT has a rename but no fsync of a directory that could be trusted */
	return folder >= 0 && print(plain, sizeof plain, "%s_%s.efi", boot->entry.id, boot->entry.version) &&
	       renameat(folder, boot->entry_name, folder, plain) == 0 && syncfs(folder) == 0;
}

/* Whether the loader knows another version of which there may be something to say. It lists names without
 * their counters, so the ESP has to be looked at then. */
static bool something_to_tell(int efivars, const struct boot *boot, const struct note *left) {
	char entries[4096], *rest = entries;
	struct entry entry;
	if (!loader_read(efivars, "LoaderEntries", entries, sizeof entries))
		return false;
	for (const char *name; (name = strsep(&rest, "\n"));)
		if (entry_parse(name, &entry) && strcmp(entry.version, boot->entry.version) != 0 &&
		    (!record_known("/", entry.version) || left || notes_any("/", entry.version)))
			return true;
	return false;
}

/* Looks whether another version used up its attempts, and why. */
static bool record(int efivars, const struct boot *boot) {
	char text[NOTE_ROOM];
	struct note note, *left = NULL;
	if (!boot->counted && !touch(GOOD))
		return false;
	if (failure_read(efivars, text, sizeof text) && note_parse(text, &note))
		left = &note;
	if (!something_to_tell(efivars, boot, left))
		return true;
	int folder = open_entries();
	DIR *names = folder >= 0 ? fdopendir(folder) : NULL;
	if (names && records_write("/", names, boot->entry.version, left) && left)
		failure_delete(efivars);
	if (names)
		closedir(names);
	return names != NULL;
}

static int usage(void) {
	fputs("usage: boot-state begin | failed KIND REASON | last-words | guard | record | good | bless | remember\n", stderr);
	return 2;
}

int main(int argc, char **argv) {
	const char *verb = argc > 1 ? argv[1] : "";
	AUTO_FD efivars = efivars_open();
	struct boot boot;
	bool known = boot_read(efivars, &boot), done;
	if (strcmp(verb, "guard") == 0 && argc == 2)
		return guard(efivars, &boot), 0;
	if (strcmp(verb, "failed") == 0 ? argc != 4 : argc != 2)
		return usage();
	if (strcmp(verb, "begin") == 0)
		/* the guard has to go even where nobody knows which version this is */
		done = begin(efivars, &boot);
	else if (strcmp(verb, "failed") == 0)
		done = failed(efivars, &boot, argv[2], argv[3]);
	else if (strcmp(verb, "last-words") == 0)
		done = last_words(efivars, &boot);
	else if (strcmp(verb, "record") == 0)
		done = known && record(efivars, &boot);
	else if (strcmp(verb, "good") == 0)
		done = known && good(efivars, &boot);
	else if (strcmp(verb, "bless") == 0)
		done = known && bless(&boot);
	else if (strcmp(verb, "remember") == 0)
		done = known && remember(&boot);
	else
		return usage();
	if (!done)
		say(LEVEL_WARNING, "boot-state %s did not succeed: %s.", verb, strerror(errno));
	return done ? 0 : 1;
}
