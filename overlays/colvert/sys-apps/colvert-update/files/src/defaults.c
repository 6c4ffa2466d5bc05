#include "defaults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "digest.h"
#include "state.h"
#include "version.h"

#define LISTS UPDATE_STATE "/defaults"
#define DEFAULTS "usr/share/colvert/etc"
#define UPPER "var/lib/colvert/etc/upper"

enum { LIST_MAX = 4 << 20, LISTS_KEPT = 8, HASH = 64, GAP = 2 };

/* One default: a regular file by what it holds, a link by where it leads. */
static bool digest_default(const FTSENT *item, char out[65]) {
	char target[4096];
	uint64_t size;
	if (item->fts_info == FTS_F) {
		AUTO_FD fd = open(item->fts_accpath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		return fd >= 0 && digest_file(fd, out, &size) == 0;
	}
	ssize_t length = readlink(item->fts_accpath, target, sizeof target);
	if (length < 0)
		return false;
	digest_text(target, (unsigned long)length, out);
	return true;
}

static int by_name(const FTSENT **a, const FTSENT **b) {
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int by_path(const void *a, const void *b) {
	return strcmp(*(char *const *)a + HASH + GAP, *(char *const *)b + HASH + GAP);
}

/* The lines of a list, in the order of the paths. */
struct list {
	struct blob text;
	char **lines;
	size_t count;
};

static void list_done(struct list *list) {
	blob_done(&list->text);
	free(list->lines);
}

static bool is_line(const char *line) {
	char hash[HASH + 1];
	if (strlen(line) <= HASH + GAP || strncmp(line + HASH, "  ", GAP) != 0)
		return false;
	memcpy(hash, line, HASH);
	hash[HASH] = '\0';
	return is_hex(hash, HASH);
}

/* Splits the text at its line ends; what is no line of a list is left out. */
static bool list_split(struct list *list) {
	size_t room = 1;
	for (size_t i = 0; i < list->text.size; i++)
		room += list->text.data[i] == '\n';
	list->lines = calloc(room, sizeof *list->lines);
	if (!list->lines)
		return false;
	char *rest = NULL;
	for (char *line = list->text.size ? strtok_r(list->text.data, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		if (is_line(line))
			list->lines[list->count++] = line;
	qsort(list->lines, list->count, sizeof *list->lines, by_path);
	return true;
}

static bool walk(FTS *tree, size_t prefix, struct blob *out) {
	for (FTSENT *item; (item = fts_read(tree));) {
		char line[HASH + 1 + GAP + 4096];
		char digest[65];
		bool counts = item->fts_info == FTS_F || item->fts_info == FTS_SL || item->fts_info == FTS_SLNONE;
		/* a name that no line can hold is nobody's default */
		if (!counts || !is_printable(item->fts_path, strlen(item->fts_path)))
			continue;
		if (!digest_default(item, digest))
			return false;
		int length = snprintf(line, sizeof line, "%s  %s\n", digest, item->fts_path + prefix);
		if (length >= (int)sizeof line || !blob_add(out, line, (size_t)length, LIST_MAX))
			return false;
	}
	return true;
}

/* All defaults that are there now, as sha256sum prints them. */
static bool collect(int root, struct blob *out) {
	char place[64];
	/* fts wants a path; this one is the directory that the descriptor stands for */
	snprintf(place, sizeof place, "/proc/self/fd/%d/" DEFAULTS, root);
	char *const roots[] = {place, NULL};
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	bool good = tree && walk(tree, strlen(place) + 1, out);
	if (tree)
		fts_close(tree);
	return good;
}

struct recorded {
	char version[40];
	struct timespec when;
};

static int newest_first(const void *a, const void *b) {
	const struct timespec *x = &((const struct recorded *)a)->when, *y = &((const struct recorded *)b)->when;
	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

/* The versions that have a list, the one that booted last first. */
static size_t recorded(int root, struct recorded *out, size_t room) {
	size_t count = 0;
	struct stat info;
	int fd = openat(root, LISTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *item; dir && count < room && (item = readdir(dir));) {
		if (!version_valid(item->d_name) || fstatat(dirfd(dir), item->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		copy_text(out[count].version, sizeof out[count].version, item->d_name);
		out[count++].when = info.st_mtim;
	}
	if (dir)
		closedir(dir);
	qsort(out, count, sizeof *out, newest_first);
	return count;
}

static void prune(int root) {
	struct recorded all[64];
	size_t count = recorded(root, all, COUNT(all));
	for (size_t i = LISTS_KEPT; i < count; i++) {
		char path[128];
		snprintf(path, sizeof path, LISTS "/%s", all[i].version);
		unlinkat(root, path, 0);
	}
}

bool defaults_record(int root, const char *version, struct problem *p) {
	AUTO_BLOB text = {0};
	char path[128];
	snprintf(path, sizeof path, LISTS "/%s", version);
	if (!blob_add(&text, "", 0, LIST_MAX) || !collect(root, &text))
		return fail(p, "disk", "The defaults in /" DEFAULTS " cannot be read: %s.", strerror(errno));
	int error = make_parents(root, path, 0755);
	if (error == 0)
		error = write_file(root, path, text.data, text.size, 0644);
	if (error)
		return fail(p, "disk", "/%s cannot be written: %s.", path, strerror(-error));
	prune(root);
	return true;
}

bool defaults_before(int root, const char *version, char out[40]) {
	struct recorded all[64];
	size_t count = recorded(root, all, COUNT(all));
	for (size_t i = 0; i < count; i++)
		if (strcmp(all[i].version, version) != 0)
			return copy_text(out, 40, all[i].version);
	return false;
}

static bool list_read(int root, const char *version, struct list *list, struct problem *p) {
	char path[128];
	snprintf(path, sizeof path, LISTS "/%s", version);
	int error = read_file(root, path, LIST_MAX, &list->text);
	if (error)
		return fail(p, "usage", "The defaults of version %s were not recorded: it has not booted here, or long ago. "
		            "`ls /" LISTS "` shows which were.", version);
	return list_split(list) || fail(p, "disk", "There is no memory left.");
}

/* Whether the machine's own /etc has something in place of a default: the file itself, a mark that it is gone, or
 * something above it that is no directory or begins anew. */
static bool is_hidden(int root, const char *path) {
	char place[4096], link[4200], opaque[2];
	struct stat info;
	int length = snprintf(place, sizeof place, UPPER "/%s", path);
	if (length >= (int)sizeof place)
		return false;
	for (char *slash = strchr(place + sizeof UPPER, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (fstatat(root, place, &info, AT_SYMLINK_NOFOLLOW) < 0)
			return false;
		snprintf(link, sizeof link, "/proc/self/fd/%d/%s", root, place);
		if (!S_ISDIR(info.st_mode) || lgetxattr(link, "trusted.overlay.opaque", opaque, sizeof opaque) == 1)
			return true;
		*slash = '/';
	}
	return fstatat(root, place, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

bool defaults_compare(int root, const char *from, const char *to, defaults_sink *sink, void *context, struct problem *p) {
	AUTO(struct list, list_done) old = {0}, new = {0};
	if (!list_read(root, from, &old, p) || !list_read(root, to, &new, p))
		return false;
	for (size_t i = 0, k = 0; i < old.count || k < new.count;) {
		const char *a = i < old.count ? old.lines[i] + HASH + GAP : NULL;
		const char *b = k < new.count ? new.lines[k] + HASH + GAP : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a, b);
		if (order < 0)
			sink(context, CHANGE_REMOVED, a, is_hidden(root, a));
		else if (order > 0)
			sink(context, CHANGE_ADDED, b, is_hidden(root, b));
		else if (strncmp(old.lines[i], new.lines[k], HASH) != 0)
			sink(context, CHANGE_CHANGED, b, is_hidden(root, b));
		i += order <= 0;
		k += order >= 0;
	}
	return true;
}
