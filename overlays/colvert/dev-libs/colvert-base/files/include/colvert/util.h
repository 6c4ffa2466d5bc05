/* What every program uses: bytes with a length, files below a directory, small questions about text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <colvert/auto.h>
#include <colvert/fd.h>

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
/* What the temporary file of write_file() is called; each program has its own. */
extern const char temporary_name[];
/* Puts a file in place whole or not at all, replacing what has its name, on the disk when it returns; negative errno. */
int write_file(int dir, const char *path, const void *data, size_t size, mode_t mode);
/* Adds a line to a file. */
int append_line(int dir, const char *path, const char *line);
/* Makes the directories above the last part of `path` where they are missing. */
int make_parents(int dir, const char *path, mode_t mode);
