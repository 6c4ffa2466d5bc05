#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "http.h"

enum {
	TRIES = 5,          /* in a row that bring nothing */
	TRIES_IN_ALL = 50,
	TEXT_SECONDS = 300, /* for a whole index */
	RESERVE = 16 << 20, /* of the file system, for others */
	STEP = 8 << 20,     /* between two words of progress */
};

static bool is_path(const char *base) {
	return base[0] == '/';
}

static bool join(const char *base, const char *name, char *out, size_t room, struct problem *p) {
	const char *slash = ends_with(base, "/") ? "" : "/";
	int length = snprintf(out, room, "%s%s%s", base, slash, name);
	return (length > 0 && (size_t)length < room) || fail(p, "usage", "The source's address is too long.");
}

/* 1, 2, 4, 8 seconds */
static void wait_before(unsigned again) {
	nanosleep(&(struct timespec){1L << (again < 3 ? again : 3), 0}, NULL);
}

/* A text */

struct text_sink {
	struct sink sink;
	struct blob *out;
	size_t limit;
};

static bool text_start(struct sink *sink, int64_t length, uint64_t offset, struct problem *p) {
	struct text_sink *text = (struct text_sink *)sink;
	blob_done(text->out);
	if (offset)
		return fail(p, "network", "The server sends a part of a file where the whole was asked for.");
	return length <= (int64_t)text->limit ||
	       fail(p, "format", "The server's index is larger than %zu bytes. Does SOURCE= name the right directory?",
	            text->limit);
}

static bool text_take(struct sink *sink, const char *data, size_t size, struct problem *p) {
	struct text_sink *text = (struct text_sink *)sink;
	return blob_add(text->out, data, size, text->limit) ||
	       fail(p, "format", "The server's index is larger than %zu bytes. Does SOURCE= name the right directory?",
	            text->limit);
}

static bool text_over_http(const struct fetch *fetch, const char *url, size_t limit, struct blob *out, struct problem *p) {
	struct text_sink text = {{text_start, text_take}, out, limit};
	for (unsigned tries = 1;; tries++) {
		enum http_end end = http_get(fetch, url, 0, TEXT_SECONDS, &text.sink, p);
		if (end == HTTP_DONE)
			return true;
		blob_done(out);
		if (end == HTTP_FAILED || tries == 3)
			return false;
		wait_before(tries - 1);
	}
}

static bool text_from_path(const char *path, size_t limit, struct blob *out, struct problem *p) {
	int error = read_file(AT_FDCWD, path, limit, out);
	if (error == -EFBIG)
		return fail(p, "format", "%s is larger than %zu bytes.", path, limit);
	return error == 0 || fail(p, "network", "%s cannot be read: %s. Is the source's directory there?", path,
	                          strerror(-error));
}

bool fetch_text(const struct fetch *fetch, const char *base, const char *name, size_t limit, struct blob *out,
                struct problem *p) {
	char address[2048];
	if (!join(base, name, address, sizeof address, p))
		return false;
	return is_path(base) ? text_from_path(address, limit, out, p) : text_over_http(fetch, address, limit, out, p);
}

/* A file */

struct file_sink {
	struct sink sink;
	const struct fetch *fetch;
	const struct way *way;
	int fd;
	uint64_t have, told;
	bool spoilt; /* what is in the file cannot be its start */
};

static bool file_start(struct sink *sink, int64_t length, uint64_t offset, struct problem *p) {
	struct file_sink *file = (struct file_sink *)sink;
	if (length >= 0 && (uint64_t)length != file->way->size)
		return fail(p, "format", "%s has %lld bytes on the server and %llu in the index: they are not of one release.",
		            file->way->name, (long long)length, (unsigned long long)file->way->size);
	if (offset == 0 && file->have) {
		/* a server that does not know ranges begins anew, and so do we */
		if (ftruncate(file->fd, 0) < 0)
			return fail(p, "disk", "%s.part cannot be cut: %s.", file->way->name, strerror(errno));
		file->have = 0;
	}
	return true;
}

static void tell(struct file_sink *file) {
	if (!file->fetch->progress || (file->have < file->way->size && file->have < file->told + STEP))
		return;
	file->told = file->have;
	file->fetch->progress(file->way->name, file->have, file->way->size);
}

static bool file_take(struct sink *sink, const char *data, size_t size, struct problem *p) {
	struct file_sink *file = (struct file_sink *)sink;
	if (size > file->way->size - file->have) {
		file->spoilt = true;
		return fail(p, "format", "The server sends more of %s than the %llu bytes that the index announces.",
		            file->way->name, (unsigned long long)file->way->size);
	}
	int error = lseek(file->fd, (off_t)file->have, SEEK_SET) < 0 ? -errno : write_all(file->fd, data, size);
	if (error)
		return fail(p, error == -ENOSPC ? "space" : "disk", "%s.part cannot be written: %s.", file->way->name,
		            strerror(-error));
	file->have += size;
	tell(file);
	return true;
}

static bool has_room(int dir, const struct way *way, uint64_t have, struct problem *p) {
	struct statvfs info;
	if (fstatvfs(dir, &info) < 0)
		return fail(p, "disk", "The download directory cannot be looked at: %s.", strerror(errno));
	uint64_t room = (uint64_t)info.f_bavail * info.f_frsize, need = way->size - have + RESERVE;
	return room >= need || fail(p, "space", "%llu MiB are free where downloads go and %llu are needed. Make room there.",
	                            (unsigned long long)(room >> 20), (unsigned long long)(need >> 20) + 1);
}

/* Whether the file that is there is the one that the index describes. */
static bool is_right(int fd, const struct way *way, struct problem *p) {
	char digest[65];
	uint64_t size;
	int error = digest_file(fd, digest, &size);
	if (error)
		return fail(p, "disk", "%s cannot be read: %s.", way->name, strerror(-error));
	return (size == way->size && strcmp(digest, way->sha256) == 0) ||
	       fail(p, "format", "%s is not the file that the index describes (other length or SHA-256); it is not used.",
	            way->name);
}

static bool download(struct file_sink *file, const char *url, struct problem *p) {
	unsigned idle = 0;
	for (unsigned tries = 0; file->have < file->way->size; tries++) {
		uint64_t before = file->have;
		enum http_end end = http_get(file->fetch, url, file->have, 0, &file->sink, p);
		if (end == HTTP_FAILED)
			return false;
		if (file->have == file->way->size)
			break;
		/* an answer that ended in good order, and too early: the server does not have more */
		file->spoilt = end == HTTP_DONE;
		if (file->spoilt)
			return fail(p, "format", "The server sends %llu bytes of %s, and the index announces %llu.",
			            (unsigned long long)file->have, file->way->name, (unsigned long long)file->way->size);
		idle = file->have > before ? 0 : idle + 1;
		if (idle == TRIES || tries == TRIES_IN_ALL)
			return false;
		wait_before(idle);
	}
	return true;
}

/* The part that an earlier call left; nothing of it where it cannot be the start of this file. */
static int open_part(int dir, const char *part, const struct way *way, uint64_t *have) {
	struct stat info;
	int fd = openat(dir, part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	*have = 0;
	if (fd < 0 || fstat(fd, &info) < 0)
		return fd;
	if ((uint64_t)info.st_size <= way->size)
		*have = (uint64_t)info.st_size;
	else if (ftruncate(fd, 0) < 0)
		*have = 0;
	return fd;
}

static bool finish(const struct file_sink *file, int dir, const char *part, struct problem *p) {
	const struct way *way = file->way;
	if (!is_right(file->fd, way, p))
		return false;
	return (fsync(file->fd) == 0 && renameat(dir, part, dir, way->name) == 0 && lseek(file->fd, 0, SEEK_SET) == 0) ||
	       fail(p, "disk", "%s cannot be written: %s.", way->name, strerror(errno));
}

static int file_over_http(const struct fetch *fetch, const char *url, const struct way *way, int dir, struct problem *p) {
	char part[sizeof way->name + 8];
	struct file_sink file = {{file_start, file_take}, .fetch = fetch, .way = way, .fd = -1};
	snprintf(part, sizeof part, "%s.part", way->name);
	AUTO_FD fd = open_part(dir, part, way, &file.have);
	file.fd = fd;
	if (fd < 0) {
		fail(p, "disk", "%s cannot be opened: %s.", part, strerror(errno));
		return -1;
	}
	if (!has_room(dir, way, file.have, p))
		return -1;
	bool good = download(&file, url, p);
	if (good && finish(&file, dir, part, p)) {
		int result = fd;
		fd = -1;
		return result;
	}
	/* what broke off is kept, what is wrong is not */
	if (good || file.spoilt || !file.have)
		unlinkat(dir, part, 0);
	return -1;
}

static int open_right(int dir, const char *name, const struct way *way, struct problem *p) {
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		fail(p, "network", "%s cannot be opened: %s. Is the source's directory whole?", name, strerror(errno));
		return -1;
	}
	if (!is_right(fd, way, p) || lseek(fd, 0, SEEK_SET) != 0)
		return -1;
	int result = fd;
	fd = -1;
	return result;
}

int fetch_file(const struct fetch *fetch, const char *base, const struct way *way, int dir, struct problem *p) {
	char address[2048];
	if (!join(base, way->name, address, sizeof address, p))
		return -1;
	if (is_path(base))
		return open_right(AT_FDCWD, address, way, p);
	if (faccessat(dir, way->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		int fd = open_right(dir, way->name, way, p);
		if (fd >= 0)
			return fd;
		unlinkat(dir, way->name, 0);
	}
	return file_over_http(fetch, address, way, dir, p);
}
