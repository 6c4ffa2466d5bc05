/* What every part uses: bytes with a length, files below a directory, and words for the journal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define AUTO(type, done) __attribute__((cleanup(done))) type
#define PRINTF(words, first) __attribute__((format(printf, words, first)))

enum {
	USER_DATA_MAX = 1 << 20,
	KEYS_MAX = 64 << 10,
	ID_MAX = 128,
	HOST_NAME_LENGTH = 64,
};

/* Bytes; a NUL that `size` does not count always follows, so that text can be read as text. */
struct blob {
	char *data;
	size_t size;
};

void blob_done(struct blob *blob);
/* Adds bytes; false (and nothing is added) where the result would be larger than `limit`. */
bool blob_add(struct blob *blob, const void *data, size_t size, size_t limit);
bool blob_add_text(struct blob *blob, const char *text, size_t limit);
/* Cuts spaces and line ends from the end. */
void blob_trim(struct blob *blob);

#define AUTO_BLOB AUTO(struct blob, blob_done)

void close_done(int *fd);
#define AUTO_FD AUTO(int, close_done)

bool starts_with(const char *text, const char *prefix);
bool ends_with(const char *text, const char *suffix);
bool is_alnum(char c);
/* Printable ASCII, the space included. */
bool is_printable(const char *data, size_t size);
bool utf8_valid(const char *data, size_t size);

/* Reads a regular file (no symbolic link as its last part) of at most `limit` bytes; negative errno. */
int read_file(int dir, const char *path, size_t limit, struct blob *out);
/* Puts a file in place whole or not at all, replacing what has its name; negative errno. */
int write_file(int dir, const char *path, const void *data, size_t size, mode_t mode);
/* Adds a line to a file. */
int append_line(int dir, const char *path, const char *line);
/* Makes the directories above the last part of `path` where they are missing. */
int make_parents(int dir, const char *path, mode_t mode);

enum level { LEVEL_WARNING = 4, LEVEL_NOTICE = 5, LEVEL_INFO = 6 };

/* One line for the journal. Nothing secret and nothing unchecked may be in it. */
void say(enum level level, const char *format, ...) PRINTF(2, 3);
