#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <colvert/util.h>

bool print(char *out, size_t room, const char *format, ...) {
	va_list words;
	va_start(words, format);
	int length = vsnprintf(out, room, format, words);
	va_end(words);
	return length >= 0 && (size_t)length < room;
}

/* Fills `out` from a descriptor and ends it with a NUL; what does not fit is read and forgotten. */
static bool drain(int fd, char *out, size_t room) {
	size_t size = 0;
	for (;;) {
		char rest[4096];
		bool full = size + 1 >= room;
		ssize_t count = read(fd, full ? rest : out + size, full ? sizeof rest : room - 1 - size);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		if (count == 0)
			break;
		size += full ? 0 : (size_t)count;
	}
	out[size] = '\0';
	return true;
}

bool read_text(int dir, const char *path, char *out, size_t room) {
	AUTO_FD fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd >= 0 && drain(fd, out, room);
}

bool write_text(int dir, const char *path, const char *text) {
	int status = write_file(dir, path, text, strlen(text), 0644);
	errno = -status;
	return status == 0;
}

bool make_directories(const char *path) {
	char below[PATH_ROOM];
	int status = print(below, sizeof below, "%s/", path) ? make_parents(AT_FDCWD, below, 0755) : -ENAMETOOLONG;
	errno = -status;
	return status == 0;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool find_word(const char *text, const char *key, char *out, size_t room) {
	size_t length = strlen(key);
	for (const char *at = text; (at = strstr(at, key)); at += length) {
		if ((at != text && !is_blank(at[-1])) || at[length] != '=')
			continue;
		at += length + 1;
		return print(out, room, "%.*s", (int)strcspn(at, " \t\r\n"), at);
	}
	return false;
}

void one_line(char *text) {
	char *to = text;
	for (const char *from = text; *from; from++) {
		bool control = (unsigned char)*from < 0x20 || *from == 0x7f;
		if (control ? to != text && to[-1] != ' ' : to != text || *from != ' ')
			*to++ = control ? ' ' : *from;
	}
	while (to != text && to[-1] == ' ')
		to--;
	*to = '\0';
}

void keep_end(char *text, size_t room) {
	size_t length = strlen(text);
	if (length < room)
		return;
	const char *end = text + length - (room - 1);
	const char *line = strchr(end, '\n');
	if (line && line[1])
		end = line + 1;
	memmove(text, end, strlen(end) + 1);
}

/* In the child: the output goes to `fd`, the input is empty, and the program takes over. */
static void become(const char *const argv[], int fd) {
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (none < 0 || dup2(none, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(127);
	/* execv promises not to change the words */
	execv(argv[0], (char *const *)(const void *)argv);
	_exit(127);
}

static bool ended_well(pid_t child) {
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool capture(const char *const argv[], char *out, size_t room) {
	int ends[2];
	out[0] = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	pid_t child = fork();
	if (child == 0)
		become(argv, ends[1]);
	close(ends[1]);
	bool whole = child > 0 && drain(ends[0], out, room);
	close(ends[0]);
	return child > 0 && ended_well(child) && whole;
}

bool capture_file(const char *const argv[], const char *path) {
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return false;
	pid_t child = fork();
	if (child == 0)
		become(argv, fd);
	return child > 0 && ended_well(child);
}
