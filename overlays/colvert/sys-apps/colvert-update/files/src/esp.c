#include "esp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "version.h"

#define SUFFIX ".efi"
#define UNFINISHED ".efi.tmp"

enum { ENTRIES_MAX = 64, ROOM_TO_SPARE = 64 << 10 };

/* names */

/* Digits at *text, which is moved behind them; -1 where there are none, or too many. */
static int take_number(const char **text) {
	char *end;
	if (**text < '0' || **text > '9')
		return -1;
	errno = 0;
	unsigned long value = strtoul(*text, &end, 10);
	*text = end;
	return errno || value > INT_MAX ? -1 : (int)value;
}

static bool take_counter(const char *text, struct entry *out) {
	out->left = out->done = -1;
	if (!*text)
		return true;
	if (*text++ != '+' || (out->left = take_number(&text)) < 0)
		return false;
	if (*text == '-') {
		text++;
		if ((out->done = take_number(&text)) < 0)
			return false;
	}
	return !*text;
}

bool entry_parse(const char *name, const char *image_id, struct entry *out) {
	char middle[sizeof out->name];
	size_t id = strlen(image_id);
	*out = (struct entry){.left = -1, .done = -1};
	if (!copy_text(out->name, sizeof out->name, name) || !ends_with(name, SUFFIX))
		return false;
	if (!starts_with(name, image_id) || name[id] != '_')
		return false;
	copy_text(middle, sizeof middle, name + id + 1);
	middle[strlen(middle) - strlen(SUFFIX)] = '\0';
	size_t length = strcspn(middle, "+");
	if (!take_counter(middle + length, out))
		return false;
	middle[length] = '\0';
	return version_valid(middle) && copy_text(out->version, sizeof out->version, middle);
}

bool entry_name(const char *image_id, const char *version, int left, int done, char out[128]) {
	char counter[32] = "";
	if (left >= 0 && done > 0)
		snprintf(counter, sizeof counter, "+%d-%d", left, done);
	else if (left >= 0)
		snprintf(counter, sizeof counter, "+%d", left);
	int length = snprintf(out, 128, "%s_%s%s" SUFFIX, image_id, version, counter);
	return length > 0 && length < 128;
}

int entry_compare(const struct entry *a, const struct entry *b) {
	bool bad_a = a->left == 0, bad_b = b->left == 0;
	if (bad_a != bad_b)
		return bad_a ? 1 : -1;
	int order = -version_compare(a->version, b->version);
	if (order || a->left < 0 || b->left < 0)
		return order;
	return a->left != b->left ? b->left - a->left : a->done - b->done;
}

/* the directory */

static int open_directory(const char *esp, struct problem *p) {
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/EFI/Linux", esp);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail(p, "disk", "%s cannot be opened: %s.", path, strerror(errno));
	return fd;
}

/* FAT has no journal: a change is there when the directory and all else were written. */
static bool settle(int directory, struct problem *p) {
	if (fsync(directory) < 0 || syncfs(directory) < 0)
		return fail(p, "disk", "The ESP cannot be written: %s.", strerror(errno));
	return true;
}

typedef bool each_fn(void *context, int directory, const char *name);

static bool each_name(int directory, each_fn *act, void *context, struct problem *p) {
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = copy < 0 ? NULL : fdopendir(copy);
	if (!names) {
		close_done(&copy);
		return fail(p, "disk", "The ESP cannot be read: %s.", strerror(errno));
	}
	struct dirent *one;
	bool good = true;
	while (good && (one = readdir(names)))
		good = act(context, directory, one->d_name);
	closedir(names);
	return good || fail(p, "disk", "The ESP cannot be changed: %s.", strerror(errno));
}

struct listing {
	const char *image_id;
	struct entry *entries;
	size_t count;
};

/* What a cut in a rename, and the fsck after it, have left has a name and nothing in it: nothing boots from it. */
static bool add_entry(void *context, int directory, const char *name) {
	struct listing *listing = context;
	struct entry entry;
	struct stat info;
	if (listing->count < ENTRIES_MAX && entry_parse(name, listing->image_id, &entry) &&
	    fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_size > 0)
		listing->entries[listing->count++] = entry;
	return true;
}

static int by_order(const void *a, const void *b) { return entry_compare(a, b); }

bool esp_list(const char *esp, const char *image_id, struct entry **out, size_t *count, struct problem *p) {
	struct listing listing = {image_id, calloc(ENTRIES_MAX, sizeof(struct entry)), 0};
	AUTO_FD directory = listing.entries ? open_directory(esp, p) : -1;
	if (directory < 0 || !each_name(directory, add_entry, &listing, p)) {
		free(listing.entries);
		return false;
	}
	qsort(listing.entries, listing.count, sizeof *listing.entries, by_order);
	*out = listing.entries;
	*count = listing.count;
	return true;
}

/* others than the running one */

struct others {
	const char *image_id, *keep;
	uint64_t size;
	bool removed;
};

/* Ours, and neither the one to keep nor anything that we do not know. */
static bool is_other(const struct others *others, const char *name) {
	struct entry entry;
	if (name[0] == '.')
		return starts_with(name + 1, others->image_id) && name[1 + strlen(others->image_id)] == '_' &&
		       ends_with(name, UNFINISHED);
	return entry_parse(name, others->image_id, &entry) && strcmp(entry.version, others->keep) != 0;
}

static bool count_other(void *context, int directory, const char *name) {
	struct others *others = context;
	struct stat info;
	if (is_other(others, name) && fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
		others->size += (uint64_t)info.st_blocks * 512;
	return true;
}

bool esp_room(const char *esp, const char *image_id, const char *keep, uint64_t size, struct problem *p) {
	struct others others = {image_id, keep, 0, false};
	struct statvfs space;
	AUTO_FD directory = open_directory(esp, p);
	if (directory < 0 || !each_name(directory, count_other, &others, p))
		return false;
	if (fstatvfs(directory, &space) < 0)
		return fail(p, "disk", "The ESP cannot be read: %s.", strerror(errno));
	uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize + others.size;
	return free_bytes >= size + ROOM_TO_SPARE ||
	       fail(p, "esp-full", "The ESP has %llu bytes to spare, the new boot entry needs %llu: remove files from %s.",
	            (unsigned long long)free_bytes, (unsigned long long)size + ROOM_TO_SPARE, esp);
}

static bool remove_other(void *context, int directory, const char *name) {
	struct others *others = context;
	if (!is_other(others, name))
		return true;
	others->removed = true;
	return unlinkat(directory, name, 0) == 0;
}

bool esp_remove_others(const char *esp, const char *image_id, const char *keep, struct problem *p) {
	struct others others = {image_id, keep, 0, false};
	AUTO_FD directory = open_directory(esp, p);
	if (directory < 0 || !each_name(directory, remove_other, &others, p))
		return false;
	return !others.removed || settle(directory, p);
}

/* one entry */

int esp_open(const char *esp, const char *name, struct problem *p) {
	AUTO_FD directory = open_directory(esp, p);
	int fd = directory < 0 ? -1 : openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (directory >= 0 && fd < 0)
		fail(p, "disk", "The boot entry %s cannot be opened: %s.", name, strerror(errno));
	return fd;
}

bool esp_rename(const char *esp, const char *from, const char *to, struct problem *p) {
	AUTO_FD directory = open_directory(esp, p);
	if (directory < 0)
		return false;
	if (strcmp(from, to) != 0 && renameat(directory, from, directory, to) < 0)
		return fail(p, "disk", "The boot entry %s cannot be renamed: %s.", from, strerror(errno));
	return settle(directory, p);
}

static void unfinished_name(const char *name, char out[NAME_MAX]) { snprintf(out, NAME_MAX, ".%s.tmp", name); }

int esp_begin(const char *esp, const char *name, uint64_t size, struct problem *p) {
	char unfinished[NAME_MAX];
	unfinished_name(name, unfinished);
	AUTO_FD directory = open_directory(esp, p);
	if (directory < 0)
		return -1;
	int fd = openat(directory, unfinished, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* all of its clusters now: where a file is mapped, a full disk would be a signal */
	int error = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)size);
	if (!error)
		return fd;
	if (fd >= 0)
		unlinkat(directory, unfinished, 0);
	close_done(&fd);
	fail(p, error == ENOSPC ? "esp-full" : "disk", "The boot entry %s cannot be made: %s.", name, strerror(error));
	return -1;
}

/* Whole on the disk before it has a name that boots. vfat adds the new name, then takes the old one
 * away; where the power goes between the two, both name the same clusters, and the fsck before the
 * next mount cuts one of them to nothing, which systemd-boot does not list. */
bool esp_commit(const char *esp, const char *name, struct problem *p) {
	char unfinished[NAME_MAX];
	unfinished_name(name, unfinished);
	AUTO_FD directory = open_directory(esp, p);
	AUTO_FD fd = directory < 0 ? -1 : openat(directory, unfinished, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (directory < 0)
		return false;
	if (fd < 0 || fsync(fd) < 0 || renameat(directory, unfinished, directory, name) < 0)
		return fail(p, "disk", "The boot entry %s cannot be put in place: %s.", name, strerror(errno));
	return settle(directory, p);
}
