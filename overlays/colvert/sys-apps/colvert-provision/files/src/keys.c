#include "keys.h"

#include <string.h>

#include <colvert/base64.h>

#include "bounds.h"

enum { LINE_MAX_LENGTH = 8192, COMMENT_MAX = 256, COUNT_MAX = 256 };

struct word {
	const char *at;
	size_t size;
};

static struct word next_word(struct word *rest) {
	while (rest->size && *rest->at == ' ')
		rest->at++, rest->size--;
	struct word word = {rest->at, 0};
	while (word.size < rest->size && word.at[word.size] != ' ')
		word.size++;
	rest->at += word.size;
	rest->size -= word.size;
	return word;
}

static bool type_known(struct word type) {
	static const char *const types[] = {
	    "ssh-ed25519",         "ssh-rsa",
	    "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
	    "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com",
	    "sk-ecdsa-sha2-nistp256@openssh.com",
	};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strlen(types[i]) == type.size && memcmp(types[i], type.at, type.size) == 0)
			return true;
	return false;
}

/* A key begins with its own type's name, behind a length of four bytes. */
static bool body_valid(struct word type, struct word body) {
	AUTO_BLOB raw = {0};
	if (!base64_decode(body.at, body.size, false, LINE_MAX_LENGTH, &raw) || raw.size <= 4 + type.size)
		return false;
	const unsigned char head[4] = {0, 0, 0, (unsigned char)type.size};
	return memcmp(raw.data, head, 4) == 0 && memcmp(raw.data + 4, type.at, type.size) == 0;
}

static bool add_line(struct blob *keys, struct word type, struct word body, struct word comment) {
	AUTO_BLOB line = {0};
	return blob_add(&line, type.at, type.size, LINE_MAX_LENGTH) && blob_add_text(&line, " ", LINE_MAX_LENGTH) &&
	       blob_add(&line, body.at, body.size, LINE_MAX_LENGTH) &&
	       (!comment.size || (blob_add_text(&line, " ", LINE_MAX_LENGTH) &&
	                          blob_add(&line, comment.at, comment.size, LINE_MAX_LENGTH))) &&
	       blob_add_text(&line, "\n", LINE_MAX_LENGTH + 1) && blob_add(keys, line.data, line.size, KEYS_MAX);
}

static bool take_line(struct blob *keys, struct word line) {
	if (line.size > LINE_MAX_LENGTH || !utf8_valid(line.at, line.size))
		return false;
	for (size_t i = 0; i < line.size; i++)
		if ((unsigned char)line.at[i] < 0x20 || line.at[i] == 0x7f)
			return false;
	struct word rest = line, type = next_word(&rest), body = next_word(&rest);
	if (!type_known(type) || !body_valid(type, body))
		return false;
	while (rest.size && *rest.at == ' ')
		rest.at++, rest.size--;
	/* the comment is for people: one that could disturb a terminal is left out */
	if (rest.size > COMMENT_MAX || !is_printable(rest.at, rest.size))
		rest.size = 0;
	return add_line(keys, type, body, rest);
}

static struct word next_line(struct word *rest) {
	const char *end = memchr(rest->at, '\n', rest->size);
	struct word line = {rest->at, end ? (size_t)(end - rest->at) : rest->size};
	size_t used = line.size + (end ? 1 : 0);
	rest->at += used;
	rest->size -= used;
	while (line.size && (line.at[line.size - 1] == '\r' || line.at[line.size - 1] == ' '))
		line.size--;
	while (line.size && *line.at == ' ')
		line.at++, line.size--;
	return line;
}

static bool contains(struct word text, const char *part) {
	return memmem(text.at, text.size, part, strlen(part)) != NULL;
}

/* Cuts USER: off a line; false where that is missing or the key is meant to expire. */
static bool strip_user(struct word *line) {
	const char *colon = memchr(line->at, ':', line->size);
	if (!colon || contains(*line, "\"expireOn\"") || contains(*line, " google-ssh "))
		return false;
	line->size -= (size_t)(colon + 1 - line->at);
	line->at = colon + 1;
	return true;
}

static void add_all(struct blob *keys, const char *text, size_t size, bool gce, struct tally *tally) {
	struct word rest = {text, size};
	while (rest.size) {
		struct word line = next_line(&rest);
		if (!line.size || *line.at == '#')
			continue;
		if (tally->taken < COUNT_MAX && (!gce || strip_user(&line)) && take_line(keys, line))
			tally->taken++;
		else
			tally->refused++;
	}
}

void keys_add(struct blob *keys, const char *text, size_t size, struct tally *tally) {
	add_all(keys, text, size, false, tally);
}

void keys_add_gce(struct blob *keys, const char *text, size_t size, struct tally *tally) {
	add_all(keys, text, size, true, tally);
}
