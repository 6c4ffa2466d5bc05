#include "machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "esp.h"
#include "gpt.h"
#include "version.h"

extern char **environ;

static const struct roots real = {
	.os_release = "/usr/lib/os-release",
	.cmdline = "/proc/cmdline",
	.sys = "/sys",
	.dev = "/dev",
	.failed = "/var/lib/colvert/failed",
};

/* The name that systemd's generator gives to the verity device below /usr. */
#define USR_DEVICE "usr"

/* what runs */

/* The value of NAME=value, as os-release has it; quotes around it are taken off. */
static bool release_value(char *text, const char *name, char *out, size_t room) {
	char line[256], *rest = text, *one;
	size_t length = strlen(name);
	while ((one = strsep(&rest, "\n"))) {
		if (rest)
			rest[-1] = '\n';
		size_t size = rest ? (size_t)(rest - 1 - one) : strlen(one);
		if (size >= sizeof line || size <= length || strncmp(one, name, length) != 0 || one[length] != '=')
			continue;
		snprintf(line, sizeof line, "%.*s", (int)(size - length - 1), one + length + 1);
		size = strlen(line);
		bool quoted = size >= 2 && (line[0] == '"' || line[0] == '\'') && line[size - 1] == line[0];
		if (quoted)
			line[size - 1] = '\0';
		return copy_text(out, room, line + quoted) && out[0];
	}
	return false;
}

static bool read_release(struct machine *machine, struct problem *p) {
	AUTO_BLOB text = {0};
	const char *path = machine->roots->os_release;
	if (read_file(AT_FDCWD, path, 64 << 10, &text) < 0 || !text.size)
		return fail(p, "disk", "%s cannot be read.", path);
	if (!release_value(text.data, "IMAGE_ID", machine->image_id, sizeof machine->image_id) ||
	    !release_value(text.data, "IMAGE_VERSION", machine->version, sizeof machine->version) ||
	    !version_valid(machine->version))
		return fail(p, "image-id", "%s has no IMAGE_ID and IMAGE_VERSION.", path);
	return true;
}

static bool read_root_hash(struct machine *machine, struct problem *p) {
	AUTO_BLOB text = {0};
	const char *path = machine->roots->cmdline;
	/* The last one counts, as for systemd. */
	if (read_file(AT_FDCWD, path, 64 << 10, &text) == 0 && text.size) {
		char *rest = text.data, *word;
		while ((word = strsep(&rest, " \n")))
			if (starts_with(word, "usrhash=") && is_hex(word + strlen("usrhash="), 64))
				strcpy(machine->root_hash, word + strlen("usrhash="));
	}
	return machine->root_hash[0] || fail(p, "disk", "This system was not started with usrhash= on its command line.");
}

/* the disk that carries it */

static bool attribute_is(const char *path, const char *value) {
	AUTO_BLOB text = {0};
	size_t length = strlen(value);
	return read_file(AT_FDCWD, path, 4096, &text) == 0 && text.size == length + 1 && text.data[length] == '\n' &&
	       memcmp(text.data, value, length) == 0;
}

PRINTF(2, 3) static bool make_path(char out[PATH_MAX], const char *format, ...) {
	va_list words;
	va_start(words, format);
	int length = vsnprintf(out, PATH_MAX, format, words);
	va_end(words);
	return length > 0 && length < PATH_MAX;
}

/* Calls for each name of a directory that is not hidden, until one returns true. */
typedef bool name_fn(void *context, const char *directory, const char *name);

static bool any_name(const char *directory, name_fn *act, void *context) {
	DIR *names = opendir(directory);
	struct dirent *one;
	bool found = false;
	while (names && !found && (one = readdir(names)))
		found = one->d_name[0] != '.' && act(context, directory, one->d_name);
	if (names)
		closedir(names);
	return found;
}

static bool is_usr_device(void *context, const char *directory, const char *name) {
	char path[PATH_MAX], *out = context;
	return starts_with(name, "dm-") && make_path(path, "%s/%s/dm/name", directory, name) &&
	       attribute_is(path, USR_DEVICE) && make_path(out, "%s/%s/slaves", directory, name);
}

/* The partitions below /usr: their numbers, and the disk that they are on. */
struct below {
	int numbers[2];
	int count;
	char disk[64];
	bool strange;
};

static bool add_slave(void *context, const char *directory, const char *name) {
	struct below *below = context;
	char link[PATH_MAX], path[PATH_MAX], attribute[PATH_MAX];
	AUTO_BLOB number = {0};
	below->strange = true;
	if (below->count == 2 || !make_path(link, "%s/%s", directory, name) || !realpath(link, path))
		return true;
	if (!make_path(attribute, "%s/partition", path) || read_file(AT_FDCWD, attribute, 32, &number) < 0 || !number.size)
		return true;
	*strrchr(path, '/') = '\0';
	const char *disk = strrchr(path, '/') + 1;
	if (below->count && strcmp(disk, below->disk) != 0)
		return true;
	below->strange = !copy_text(below->disk, sizeof below->disk, disk);
	below->numbers[below->count++] = atoi(number.data);
	return below->strange;
}

static bool find_disk(struct machine *machine, struct below *below, struct problem *p) {
	char blocks[PATH_MAX], slaves[PATH_MAX];
	if (!make_path(blocks, "%s/block", machine->roots->sys) || !any_name(blocks, is_usr_device, slaves))
		return fail(p, "disk", "There is no device-mapper device %s below /usr.", USR_DEVICE);
	any_name(slaves, add_slave, below);
	if (below->strange || below->count != 2)
		return fail(p, "disk", "/usr is not on two partitions of one disk.");
	int length = snprintf(machine->disk, sizeof machine->disk, "%s/%s", machine->roots->dev, below->disk);
	return (size_t)length < sizeof machine->disk || fail(p, "disk", "The name of the disk is too long.");
}

/* its slots */

static bool has(const struct below *below, int number) {
	return below->numbers[0] == number || below->numbers[1] == number;
}

/* The version in a label: ID-usr_VERSION. */
static void read_version(const char *image_id, const struct gpt_partition *usr, struct slot *slot) {
	size_t id = strlen(image_id);
	const char *rest = usr->label + id;
	if (starts_with(usr->label, image_id) && starts_with(rest, "-usr_") && version_valid(rest + 5))
		copy_text(slot->version, sizeof slot->version, rest + 5);
}

static void read_hash(const char *usr, const char *verity, char out[65]) {
	size_t size = 0;
	for (const char *half = usr; half; half = half == usr ? verity : NULL)
		for (const char *c = half; *c && size < 64; c++)
			if (*c != '-')
				out[size++] = *c;
	out[size] = '\0';
	if (!is_hex(out, 64))
		out[0] = '\0';
}

static void fill_slot(const char *image_id, const struct gpt_partition *const its[3], struct slot *slot) {
	*slot = (struct slot){
		.usr = its[0]->number,
		.verity = its[1]->number,
		.signature = its[2]->number,
		.usr_size = its[0]->size,
		.verity_size = its[1]->size,
		.signature_size = its[2]->size,
	};
	read_version(image_id, its[0], slot);
	if (slot->version[0])
		read_hash(its[0]->uuid, its[1]->uuid, slot->root_hash);
}

/* Slot A is made of the first partition of each type, slot B of the second. */
static bool sort_slots(const char *image_id, const struct gpt_partition *all, size_t count, struct slot slots[2]) {
	const struct gpt_partition *found[2][3] = {0};
	for (size_t i = 0; i < count; i++) {
		if (all[i].type == GPT_OTHER)
			continue;
		int part = (int)all[i].type - GPT_USR;
		int which = found[0][part] ? 1 : 0;
		if (found[which][part])
			return false;
		found[which][part] = &all[i];
	}
	for (int which = 0; which < 2; which++) {
		for (int part = 0; part < 3; part++)
			if (!found[which][part])
				return false;
		fill_slot(image_id, found[which], &slots[which]);
	}
	return true;
}

/* The hot slot is what the kernel reads /usr from, whatever labels say. */
static bool read_slots(struct machine *machine, const struct below *below, struct problem *p) {
	struct gpt_partition *all;
	size_t count;
	struct slot slots[2];
	if (!gpt_read(machine->disk, &all, &count, p))
		return false;
	bool whole = sort_slots(machine->image_id, all, count, slots);
	free(all);
	if (!whole)
		return fail(p, "disk", "%s has not two slots.", machine->disk);
	for (int which = 0; which < 2; which++) {
		if (!has(below, slots[which].usr) || !has(below, slots[which].verity))
			continue;
		machine->hot = slots[which];
		machine->cold = slots[1 - which];
		return true;
	}
	return fail(p, "disk", "/usr is not on a slot of %s.", machine->disk);
}

/* the ESP */

static bool read_line(int fd, char *out, size_t room) {
	size_t size = 0;
	ssize_t count;
	while (size + 1 < room && (count = read(fd, out + size, room - 1 - size)) != 0) {
		if (count < 0 && errno != EINTR)
			return false;
		size += count > 0 ? (size_t)count : 0;
	}
	out[size] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return out[0] == '/';
}

static bool ask_bootctl(char *out, size_t room) {
	static const char *const words[] = {"bootctl", "--print-esp-path", NULL};
	int ends[2], status;
	pid_t child;
	posix_spawn_file_actions_t actions;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	int error = posix_spawnp(&child, words[0], &actions, NULL, (char *const *)words, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	bool good = !error && read_line(ends[0], out, room);
	close(ends[0]);
	while (!error && waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool find_esp(struct machine *machine, struct problem *p) {
	const char *told = machine->roots->esp;
	bool found = told ? copy_text(machine->esp, sizeof machine->esp, told) : ask_bootctl(machine->esp, sizeof machine->esp);
	return found || fail(p, "disk", "The EFI system partition was not found: `bootctl --print-esp-path` tells why.");
}

bool machine_read_from(const struct roots *roots, struct machine *machine, struct problem *p) {
	struct below below = {0};
	*machine = (struct machine){.roots = roots};
	return read_release(machine, p) && read_root_hash(machine, p) && find_disk(machine, &below, p) &&
	       read_slots(machine, &below, p) && find_esp(machine, p) &&
	       esp_list(machine->esp, machine->image_id, &machine->entries, &machine->count, p);
}

bool machine_read(struct machine *machine, struct problem *p) { return machine_read_from(&real, machine, p); }

const struct entry *machine_running(const struct machine *machine) {
	for (size_t i = 0; i < machine->count; i++)
		if (strcmp(machine->entries[i].version, machine->version) == 0)
			return &machine->entries[i];
	return NULL;
}

void machine_done(struct machine *machine) {
	free(machine->entries);
	machine->entries = NULL;
	machine->count = 0;
}
