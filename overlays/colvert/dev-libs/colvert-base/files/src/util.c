#include <colvert/util.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void blob_done(struct blob *blob) {
	free(blob->data);
	*blob = (struct blob){0};
}

/* Room for `size` bytes and the NUL: a power of two, so that many small additions stay cheap. */
static size_t room_for(size_t size) {
	size_t room = 64;
	while (room <= size)
		room *= 2;
	return room;
}

bool blob_add(struct blob *blob, const void *data, size_t size, size_t limit) {
	if (blob->size > limit || size > limit - blob->size)
		return false;
	size_t room = room_for(blob->size + size);
	bool fits = blob->data && room == room_for(blob->size);
	char *grown = fits ? blob->data : realloc(blob->data, room);
	if (!grown)
		return false;
	if (size)
		memcpy(grown + blob->size, data, size);
	blob->data = grown;
	blob->size += size;
	grown[blob->size] = '\0';
	return true;
}

bool blob_add_text(struct blob *blob, const char *text, size_t limit) {
	return blob_add(blob, text, strlen(text), limit);
}

void blob_trim(struct blob *blob) {
	while (blob->size && strchr(" \t\r\n", blob->data[blob->size - 1]) && blob->data[blob->size - 1])
		blob->data[--blob->size] = '\0';
}

bool starts_with(const char *text, const char *prefix) {
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool ends_with(const char *text, const char *suffix) {
	size_t whole = strlen(text), part = strlen(suffix);
	return whole >= part && strcmp(text + whole - part, suffix) == 0;
}

bool is_alnum(char c) {
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool is_hex(const char *text, size_t digits) {
	return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

bool is_printable(const char *data, size_t size) {
	for (size_t i = 0; i < size; i++)
		if (data[i] < 0x20 || data[i] > 0x7e)
			return false;
	return true;
}

/* The length of the UTF-8 sequence at `data`, 0 where there is none. */
static size_t utf8_sequence(const unsigned char *data, size_t left) {
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	for (size_t length = 1; length <= 4 && length <= left; length++) {
		if ((data[0] & forms[length - 1].mask) != forms[length - 1].lead)
			continue;
		uint32_t value = data[0] & (unsigned char)~forms[length - 1].mask;
		for (size_t i = 1; i < length; i++) {
			if ((data[i] & 0xc0) != 0x80)
				return 0;
			value = value << 6 | (data[i] & 0x3f);
		}
		bool surrogate = value >= 0xd800 && value < 0xe000;
		return value < forms[length - 1].least || value > 0x10ffff || surrogate ? 0 : length;
	}
	return 0;
}

bool utf8_valid(const char *data, size_t size) {
	for (size_t i = 0; i < size;) {
		size_t length = utf8_sequence((const unsigned char *)data + i, size - i);
		if (!length)
			return false;
		i += length;
	}
	return true;
}

bool copy_text(char *out, size_t room, const char *text) {
	size_t size = strlen(text);
	if (size >= room)
		return false;
	memcpy(out, text, size + 1);
	return true;
}

void to_hex(const unsigned char *data, size_t size, char *out) {
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * size] = '\0';
}

int read_file(int dir, const char *path, size_t limit, struct blob *out) {
	/* O_NONBLOCK: a pipe that somebody has put there must not hold us */
	AUTO_FD fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	struct stat info;
	if (fstat(fd, &info) < 0)
		return -errno;
	if (!S_ISREG(info.st_mode))
		return -EINVAL;
	char buffer[8192];
	for (;;) {
		ssize_t count = read(fd, buffer, sizeof buffer);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (!blob_add(out, buffer, (size_t)count, limit))
			return -EFBIG;
		if (count == 0)
			return 0;
	}
}

/* The temporary name beside `path`: on the same file system, whatever the length of the last part. */
static int temporary_path(const char *path, char *out, size_t room) {
	const char *slash = strrchr(path, '/');
	int length = snprintf(out, room, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, temporary_name);
	return length < 0 || (size_t)length >= room ? -ENAMETOOLONG : 0;
}

static int fill_file(int dir, const char *path, const void *data, size_t size, mode_t mode) {
	AUTO_FD fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int status = write_all(fd, data, size);
	if (status == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		status = -errno;
	return status;
}

/* A new name is on the disk when its directory is. */
static int sync_parent(int dir, const char *path) {
	char parent[1024];
	const char *slash = strrchr(path, '/');
	int length = snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	if (length < 0 || (size_t)length >= sizeof parent)
		return -ENAMETOOLONG;
	AUTO_FD fd = openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int write_file(int dir, const char *path, const void *data, size_t size, mode_t mode) {
	char temporary[1024];
	int status = temporary_path(path, temporary, sizeof temporary);
	if (status < 0)
		return status;
	unlinkat(dir, temporary, 0);
	status = fill_file(dir, temporary, data, size, mode);
	if (status == 0 && renameat(dir, temporary, dir, path) < 0)
		status = -errno;
	if (status < 0)
		unlinkat(dir, temporary, 0);
	return status < 0 ? status : sync_parent(dir, path);
}

int append_line(int dir, const char *path, const char *line) {
	AUTO_FD fd = openat(dir, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int status = write_all(fd, line, strlen(line));
	if (status == 0)
		status = write_all(fd, "\n", 1);
	if (status == 0 && fsync(fd) < 0)
		status = -errno;
	return status;
}

int make_parents(int dir, const char *path, mode_t mode) {
	char part[1024];
	if (strlen(path) >= sizeof part)
		return -ENAMETOOLONG;
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		if (!part[0])
			continue;
		bool made = mkdirat(dir, part, mode) == 0;
		if (!made && errno != EEXIST)
			return -errno;
		int status = made ? sync_parent(dir, part) : 0;
		if (status < 0)
			return status;
	}
	return 0;
}
