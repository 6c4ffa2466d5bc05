/* What every part uses: bytes with a length, files below a directory, small questions about text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AUTO(type, done) __attribute__((cleanup(done))) type
#define PRINTF(words, first) __attribute__((format(printf, words, first)))
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Bytes; a NUL that `size` does not count always follows, so that text can be read as text. */
struct blob {
	char *data;
	size_t size;
};

void blob_done(struct blob *blob);
/* Adds bytes; false (and nothing is added) where the result would be larger than `limit`. */
bool blob_add(struct blob *blob, const void *data, size_t size, size_t limit);

#define AUTO_BLOB AUTO(struct blob, blob_done)

void close_done(int *fd);
#define AUTO_FD AUTO(int, close_done)

bool starts_with(const char *text, const char *prefix);
bool ends_with(const char *text, const char *suffix);
bool is_alnum(char c);
/* Exactly `digits` lower case hexadecimal digits. */
bool is_hex(const char *text, size_t digits);
/* Printable ASCII, the space included. */
bool is_printable(const char *data, size_t size);
bool utf8_valid(const char *data, size_t size);
/* Copies a text with its NUL; false where there is no room. */
bool copy_text(char *out, size_t room, const char *text);
void to_hex(const unsigned char *data, size_t size, char *out);

/* Reads a regular file (no symbolic link as its last part) of at most `limit` bytes; negative errno. */
int read_file(int dir, const char *path, size_t limit, struct blob *out);
/* Puts a file in place whole or not at all, replacing what has its name; negative errno. */
int write_file(int dir, const char *path, const void *data, size_t size, mode_t mode);
int write_all(int fd, const void *data, size_t size);
/* Makes the directories above the last part of `path` where they are missing. */
int make_parents(int dir, const char *path, mode_t mode);
