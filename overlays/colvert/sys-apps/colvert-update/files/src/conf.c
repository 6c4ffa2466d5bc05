#include "conf.h"

#include <string.h>

#include <colvert/util.h>

void conf_start(struct conf *conf, const char *text, size_t size) {
	*conf = (struct conf){.at = text, .end = text + size};
}

static bool is_blank(char c) {
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes a key and the sign behind it off the front of a line. */
static bool take_key(struct conf *conf, const char **at, const char *end) {
	size_t length = 0;
	while (*at + length < end && (is_alnum((*at)[length]) || (*at)[length] == '_'))
		length++;
	if (length == 0 || length >= sizeof conf->key || *at + length == end || (*at)[length] != '=')
		return false;
	memcpy(conf->key, *at, length);
	conf->key[length] = '\0';
	*at += length + 1;
	return true;
}

/* A value to the end of the line, without its quotes and what they escape. */
static bool take_value(struct conf *conf, const char *at, const char *end) {
	char quote = at < end && (*at == '"' || *at == '\'') ? *at++ : '\0';
	size_t length = 0;
	for (; at < end && (quote ? *at != quote : !is_blank(*at)); at++) {
		char c = *at;
		if (c == '\\' && quote != '\'') {
			if (++at == end)
				return false;
			c = *at;
		} else if (!quote && strchr("\"'$`;&|<>()", c)) {
			return false;
		}
		if (c == '\0' || length + 1 >= sizeof conf->value)
			return false;
		conf->value[length++] = c;
	}
	conf->value[length] = '\0';
	return !quote || at++ < end ? at == end : false;
}

enum conf_item conf_next(struct conf *conf) {
	while (conf->at < conf->end) {
		const char *at = conf->at;
		const char *end = memchr(at, '\n', (size_t)(conf->end - at));
		conf->at = end ? end + 1 : conf->end;
		end = end ? end : conf->end;
		conf->line++;
		while (at < end && is_blank(*at))
			at++;
		while (end > at && is_blank(end[-1]))
			end--;
		if (at == end || *at == '#')
			continue;
		return take_key(conf, &at, end) && take_value(conf, at, end) ? CONF_PAIR : CONF_BAD;
	}
	return CONF_END;
}

bool conf_get(const char *text, size_t size, const char *key, char *out, size_t room) {
	struct conf conf;
	bool found = false;
	conf_start(&conf, text, size);
	for (enum conf_item item; (item = conf_next(&conf)) != CONF_END;)
		if (item == CONF_PAIR && strcmp(conf.key, key) == 0)
			found = copy_text(out, room, conf.value);
	return found;
}
