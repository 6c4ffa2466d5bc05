/* What every part uses: small files and programs' output. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <colvert/auto.h>

/* A directory and a name in it must fit, however they came here. */
enum { PATH_ROOM = 512 };

/* Writes formatted text; false where it does not fit. */
bool print(char *out, size_t room, const char *format, ...) PRINTF(3, 4);
/* Reads what fits of a file as text, up to a NUL or the room's end; false with errno. */
bool read_text(int dir, const char *path, char *out, size_t room);
/* Puts a file in place whole or not at all, on the disk when it returns; false with errno. */
bool write_text(int dir, const char *path, const char *text);
/* Makes a directory and those above it; false with errno. */
bool make_directories(const char *path);
/* The value after `key=` at the start of a word (separated by blanks or line ends); false where it has none. */
bool find_word(const char *text, const char *key, char *out, size_t room);
/* Makes one line of text: controls become blanks, blanks at the ends go. */
void one_line(char *text);
/* Keeps the end of a text, from the start of a line where one begins soon enough. */
void keep_end(char *text, size_t room);

/* Runs a program and keeps the first part of what it prints; false where it fails. */
bool capture(const char *const argv[], char *out, size_t room);
/* Runs a program whose output becomes a file; false where it fails. */
bool capture_file(const char *const argv[], const char *path);
