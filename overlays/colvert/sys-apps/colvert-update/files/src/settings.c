#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

enum { SIZE_MAX_CONF = 64 << 10, STALL_SECONDS = 60 };

bool source_valid(const char *text) {
	bool known = starts_with(text, "https://") || starts_with(text, "http://") || text[0] == '/';
	return known && is_printable(text, strlen(text)) && !strchr(text, ' ') && !strpbrk(text, "?#");
}

static bool take_number(const char *text, uint64_t most, uint64_t *out) {
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	*out = value;
	return *end == '\0' && errno == 0 && value <= most;
}

static bool take_word(const char *text, const char *const words[], int *out) {
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0) {
			*out = i;
			return true;
		}
	}
	return false;
}

/* An argument of systemd-run. */
static bool take_plain(const char *text, char *out, size_t room) {
	return is_printable(text, strlen(text)) && text[0] != '-' && copy_text(out, room, text);
}

static bool take(struct settings *settings, const char *key, const char *value) {
	static const char *const reboots[] = {"never", "now", "window", NULL}, *const answers[] = {"no", "yes", NULL};
	int choice = 0;
	uint64_t number = 0;
	bool good = true;
	if (strcmp(key, "SOURCE") == 0) {
		good = (!value[0] || source_valid(value)) && copy_text(settings->source, sizeof settings->source, value);
	} else if (strcmp(key, "CHANNEL") == 0) {
		good = value[0] && take_plain(value, settings->channel, sizeof settings->channel);
	} else if (strcmp(key, "REBOOT") == 0) {
		good = take_word(value, reboots, &choice);
		settings->reboot = (enum reboot)choice;
	} else if (strcmp(key, "WINDOW_START") == 0) {
		good = take_plain(value, settings->window_start, sizeof settings->window_start);
	} else if (strcmp(key, "WINDOW_LENGTH") == 0) {
		good = take_plain(value, settings->window_length, sizeof settings->window_length);
	} else if (strcmp(key, "RATE") == 0) {
		good = take_number(value, INT64_MAX, &settings->rate);
	} else if (strcmp(key, "STALL_SECONDS") == 0) {
		good = take_number(value, 3600, &number) && number > 0;
		settings->stall_seconds = (unsigned)number;
	} else if (strcmp(key, "KEXEC") == 0) {
		good = take_word(value, answers, &choice);
		settings->kexec = choice == 1;
	}
	return good;
}

static bool read_one(int root, const char *path, struct settings *settings, struct problem *p) {
	AUTO_BLOB text = {0};
	int error = read_file(root, path, SIZE_MAX_CONF, &text);
	if (error == -ENOENT)
		return true;
	if (error)
		return fail(p, "usage", "/%s cannot be read: %s.", path, strerror(-error));
	struct conf conf;
	conf_start(&conf, text.data, text.size);
	for (enum conf_item item; (item = conf_next(&conf)) != CONF_END;)
		if (item == CONF_BAD || !take(settings, conf.key, conf.value))
			return fail(p, "usage", "/%s, line %u: %s. Correct the line.", path, conf.line,
			            item == CONF_BAD ? "this is no assignment KEY=value" : "this value is none for its key");
	return true;
}

bool settings_read(int root, struct settings *settings, struct problem *p) {
	*settings = (struct settings){.channel = "stable", .window_length = "1h", .stall_seconds = STALL_SECONDS};
	if (!read_one(root, "usr/lib/colvert/update.conf", settings, p) ||
	    !read_one(root, "etc/colvert/update.conf", settings, p))
		return false;
	if (settings->reboot == REBOOT_WINDOW && (!settings->window_start[0] || !settings->window_length[0]))
		return fail(p, "usage", "REBOOT=window needs WINDOW_START= and WINDOW_LENGTH= in /etc/colvert/update.conf.");
	return true;
}
