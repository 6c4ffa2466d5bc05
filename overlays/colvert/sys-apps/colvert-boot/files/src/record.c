#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <colvert/say.h>

#include "state.h"
#include "text.h"

#define COPY "pstore-"

enum { BOOTS_MAX = 8, DUMP_ROOM = 64 << 10, RECORD_ROOM = 6 * REASON_ROOM + 512 };

/* What is found out about a version. */
struct gathered {
	const char *root;
	struct note best; /* the last one that knows a kind */
	char boots[BOOTS_MAX][40];
	int boot_count;
	long long told;   /* when what an earlier record tells was, 0 where there is none */
	long long latest; /* when the last boot was that left something */
	char folder[PATH_ROOM];
};

bool has_failed(const char *name, const char *running, struct entry *out) {
	return entry_parse(name, out) && out->left == 0 && out->done > 0 && strcmp(out->version, running) != 0;
}

bool json_escape(const char *text, char *out, size_t room) {
	size_t length = 0;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		char one[8];
		/* what is not ASCII could be half a character */
		const char *form = *c == '"' || *c == '\\' ? "\\%c" : *c < 0x20 ? "\\u%04x" : "%c";
		if (!print(one, sizeof one, form, *c < 0x80 ? *c : '?') || length + strlen(one) >= room)
			return false;
		memcpy(out + length, one, strlen(one));
		length += strlen(one);
	}
	out[length] = '\0';
	return true;
}

/* What is no newer than the record that exists was weighed when that was written. */
static void weigh(struct gathered *all, const struct note *note) {
	if (note->kind[0] && note->when > all->told && note->when >= all->best.when)
		all->best = *note;
}

static void take_left(struct gathered *all, const struct note *note) {
	if (note->when > all->latest)
		all->latest = note->when;
	weigh(all, note);
}

static void take_note(void *context, const struct note *note) {
	struct gathered *all = context;
	take_left(all, note);
	if (all->boot_count < BOOTS_MAX)
		memcpy(all->boots[all->boot_count++], note->boot, sizeof note->boot);
}

/* When the last good boot was told good, or shut down: what is older is not of the version that failed after it. */
static long long last_good(const char *root) {
	char path[PATH_ROOM], text[256], when[24];
	if (!print(path, sizeof path, "%s" LAST_GOOD, root) || !read_text(AT_FDCWD, path, text, sizeof text) ||
	    !find_word(text, "when", when, sizeof when))
		return 0;
	return strtoll(when, NULL, 10);
}

/* Copies a dump; what is copied is weighed with the other copies. */
static void take_dump(struct gathered *all, const char *stamp, const char *path) {
	char dump[DUMP_ROOM], copy[PATH_ROOM];
	if (print(copy, sizeof copy, "%s/" COPY "%s.txt", all->folder, stamp) && access(copy, F_OK) < 0 &&
	    read_text(AT_FDCWD, path, dump, sizeof dump) && make_directories(all->folder))
		write_text(AT_FDCWD, copy, dump);
}

/* systemd-pstore(8) leaves SECONDS/NUMBER/dmesg.txt. */
static void take_dumps(struct gathered *all, const char *folder, const char *stamp) {
	char path[PATH_ROOM];
	DIR *numbers = opendir(folder);
	for (struct dirent *one; numbers && (one = readdir(numbers));) {
		if (one->d_name[0] != '.' && print(path, sizeof path, "%s/%s/dmesg.txt", folder, one->d_name) &&
		    access(path, F_OK) == 0)
			take_dump(all, stamp, path);
	}
	if (numbers)
		closedir(numbers);
}

static void gather_dumps(struct gathered *all) {
	char top[PATH_ROOM], path[PATH_ROOM];
	long long since = last_good(all->root);
	DIR *stamps = print(top, sizeof top, "%s" PSTORE_DIR, all->root) ? opendir(top) : NULL;
	for (struct dirent *one; stamps && (one = readdir(stamps));) {
		long long when = strtoll(one->d_name, NULL, 10);
		if (when > 0 && when >= since && print(path, sizeof path, "%s/%s", top, one->d_name))
			take_dumps(all, path, one->d_name);
	}
	if (stamps)
		closedir(stamps);
}

/* The version's own, among them what a recording that was interrupted has copied. */
static void weigh_dumps(struct gathered *all) {
	DIR *copies = opendir(all->folder);
	for (struct dirent *one; copies && (one = readdir(copies));) {
		char dump[DUMP_ROOM];
		struct note note = {0};
		if (strncmp(one->d_name, COPY, strlen(COPY)) != 0 ||
		    !read_text(dirfd(copies), one->d_name, dump, sizeof dump))
			continue;
		note.when = strtoll(one->d_name + strlen(COPY), NULL, 10);
		if (note_from_dump(dump, &note))
			weigh(all, &note);
	}
	if (copies)
		closedir(copies);
}

static void save_journal(const struct gathered *all, const char *boot) {
	char path[PATH_ROOM], which[64];
	if (!print(path, sizeof path, "%s/journal-%s.txt", all->folder, boot) ||
	    !print(which, sizeof which, "--boot=%s", boot))
		return;
	const char *const argv[] = {"/usr/bin/journalctl", which, "--quiet", "--no-pager", "--no-hostname",
	                            "--output=short-precise", "--lines=5000", NULL};
	struct stat info;
	/* a boot that ended at once has none */
	if (!capture_file(argv, path) || stat(path, &info) < 0 || info.st_size == 0)
		unlink(path);
}

static bool write_record(const struct gathered *all, const struct entry *failed) {
	char version[128], reason[6 * REASON_ROOM], text[RECORD_ROOM], path[PATH_ROOM];
	return json_escape(failed->version, version, sizeof version) &&
	       json_escape(all->best.reason, reason, sizeof reason) &&
	       print(text, sizeof text,
	             "{\"version\": \"%s\", \"kind\": \"%s\", \"reason\": \"%s\", \"when\": %lld, \"attempts\": %d}\n",
	             version, all->best.kind, reason, all->best.when, failed->done) &&
	       make_directories(all->folder) && print(path, sizeof path, "%s/record.json", all->folder) &&
	       write_text(AT_FDCWD, path, text);
}

static bool record_read(const char *root, const char *version, char *out, size_t room) {
	char path[PATH_ROOM];
	return print(path, sizeof path, "%s" FAILED_DIR "/%s/record.json", root, version) &&
	       read_text(AT_FDCWD, path, out, room);
}

bool record_known(const char *root, const char *version) {
	char text[8];
	return record_read(root, version, text, sizeof text);
}

/* When the failure was that a record tells; 0 where it does not say. */
static long long told_when(const char *record) {
	static const char key[] = "\"when\": ";
	/* in the reason the quotes have a backslash before them */
	const char *at = strstr(record, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : 0;
}

/* Finds the reason and writes it down. */
static bool tell(struct gathered *all, const struct entry *failed) {
	gather_dumps(all);
	weigh_dumps(all);
	if (!all->best.kind[0]) {
		print(all->best.kind, sizeof all->best.kind, "hang");
		print(all->best.reason, sizeof all->best.reason,
		      "its boots left no word: it hung, lost power, or could not be loaded");
		all->best.when = (long long)time(NULL);
	}
	if (!write_record(all, failed)) {
		say(LEVEL_WARNING, "No record of the failed version %s can be written: %s.", failed->version,
		    strerror(errno));
		return false;
	}
	say(LEVEL_WARNING, "Version %s failed in %d attempts and is not started any more (%s: %s).", failed->version,
	    failed->done, all->best.kind, all->best.reason);
	return true;
}

bool record_write(const char *root, const struct entry *failed, const struct note *left) {
	struct gathered all = {.root = root};
	char earlier[RECORD_ROOM];
	if (!print(all.folder, sizeof all.folder, "%s" FAILED_DIR "/%s", root, failed->version))
		return false;
	bool known = record_read(root, failed->version, earlier, sizeof earlier);
	all.told = known ? told_when(earlier) : 0;
	notes_each(root, failed->version, take_note, &all);
	if (left)
		take_left(&all, left);
	/* else it was told, and what came after that was interrupted */
	if ((!known || all.latest > all.told) && !tell(&all, failed))
		return false;
	for (int i = 0; i < all.boot_count; i++)
		save_journal(&all, all.boots[i]);
	notes_drop(root, failed->version);
	return true;
}

bool records_write(const char *root, DIR *names, const char *running, const struct note *left) {
	/* what is left of a version that has attempts to go is not told yet; of one that is gone it never will be */
	bool pending = false;
	for (struct dirent *one; (one = readdir(names));) {
		struct entry entry;
		bool its = left && entry_parse(one->d_name, &entry) && strcmp(left->version, entry.version) == 0;
		/* a disk that takes no record now may take one at the next boot */
		bool told = has_failed(one->d_name, running, &entry) && record_write(root, &entry, its ? left : NULL);
		pending = pending || (its && !told);
	}
	return !pending;
}
