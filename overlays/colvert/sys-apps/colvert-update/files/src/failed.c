#include "failed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <colvert/json.h>

#include "version.h"

#define FAILED "var/lib/colvert/failed"

enum { RECORD_MAX = 64 << 10 };

/* A text for people; what cannot be shown becomes a question mark, and what is too long is cut. */
static void take_text(struct json_object *record, const char *name, char *out, size_t room) {
	const char *text;
	size_t size, i = 0;
	if (!json_text(record, name, &text, &size))
		return;
	for (; i < size && i + 1 < room; i++)
		out[i] = is_printable(text + i, 1) ? text[i] : '?';
	out[i] = '\0';
}

static int64_t take_number(struct json_object *record, const char *name) {
	struct json_object *value;
	if (!json_object_object_get_ex(record, name, &value) || !json_object_is_type(value, json_type_int))
		return 0;
	int64_t number = json_object_get_int64(value);
	return number < 0 ? 0 : number;
}

bool failed_read(int root, const char *version, struct failed *failed) {
	char path[128];
	AUTO_BLOB text = {0};
	snprintf(path, sizeof path, FAILED "/%s/record.json", version);
	int error = read_file(root, path, RECORD_MAX, &text);
	if (error == -ENOENT || error == -ENOTDIR)
		return false;
	*failed = (struct failed){.kind = "unknown", .reason = "its record cannot be read"};
	copy_text(failed->version, sizeof failed->version, version);
	AUTO_JSON *record = error ? NULL : json_read(text.data, text.size);
	if (record) {
		take_text(record, "kind", failed->kind, sizeof failed->kind);
		take_text(record, "reason", failed->reason, sizeof failed->reason);
		failed->when = (uint64_t)take_number(record, "when");
		failed->attempts = (unsigned)take_number(record, "attempts");
	}
	return true;
}

static int newest_first(const void *a, const void *b) {
	return -version_compare(((const struct failed *)a)->version, ((const struct failed *)b)->version);
}

size_t failed_list(int root, struct failed *out, size_t room) {
	size_t count = 0;
	int fd = openat(root, FAILED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *item; dir && count < room && (item = readdir(dir));)
		if (version_valid(item->d_name) && failed_read(root, item->d_name, &out[count]))
			count++;
	if (dir)
		closedir(dir);
	qsort(out, count, sizeof *out, newest_first);
	return count;
}
