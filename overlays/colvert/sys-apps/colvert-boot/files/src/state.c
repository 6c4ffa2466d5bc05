#include "state.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <colvert/auto.h>

#include "text.h"

bool note_keep(const char *root, const struct note *note) {
	char folder[PATH_ROOM], path[PATH_ROOM], text[NOTE_ROOM];
	return print(folder, sizeof folder, "%s" NOTES_DIR, root) && make_directories(folder) &&
	       print(path, sizeof path, "%s/%s", folder, note->boot) && note_format(note, text, sizeof text) &&
	       write_text(AT_FDCWD, path, text);
}

static DIR *open_folder(const char *root, const char *name) {
	char path[PATH_ROOM];
	return print(path, sizeof path, "%s%s", root, name) ? opendir(path) : NULL;
}

static void close_folder(DIR **folder) {
	if (*folder)
		closedir(*folder);
}

void notes_each(const char *root, const char *version, void (*each)(void *, const struct note *), void *context) {
	AUTO(DIR *, close_folder) folder = open_folder(root, NOTES_DIR);
	for (struct dirent *one; folder && (one = readdir(folder));) {
		char text[NOTE_ROOM];
		struct note note;
		if (one->d_name[0] == '.' || !read_text(dirfd(folder), one->d_name, text, sizeof text))
			continue;
		if (note_parse(text, &note) && strcmp(note.version, version) == 0)
			each(context, &note);
	}
}

static void note_found(void *found, const struct note *note) {
	(void)note;
	*(bool *)found = true;
}

bool notes_any(const char *root, const char *version) {
	bool found = false;
	notes_each(root, version, note_found, &found);
	return found;
}

static void drop_note(void *root, const struct note *note) {
	char path[PATH_ROOM];
	if (print(path, sizeof path, "%s" NOTES_DIR "/%s", (const char *)root, note->boot))
		unlink(path);
}

void notes_drop(const char *root, const char *version) {
	char copy[PATH_ROOM];
	if (print(copy, sizeof copy, "%s", root))
		notes_each(root, version, drop_note, copy);
}

void record_drop(const char *root, const char *version) {
	char name[PATH_ROOM], path[PATH_ROOM];
	if (!print(name, sizeof name, FAILED_DIR "/%s", version) || !print(path, sizeof path, "%s%s", root, name))
		return;
	/* one level: a record has files only */
	AUTO(DIR *, close_folder) folder = open_folder(root, name);
	for (struct dirent *one; folder && (one = readdir(folder));)
		if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0)
			unlinkat(dirfd(folder), one->d_name, 0);
	if (folder)
		rmdir(path);
}
