/* Between two installed versions: what comes next, and how to change that. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "esp.h"
#include "install.h"
#include "slot.h"
#include "uki.h"

static bool is_running(const struct machine *machine, const struct entry *entry) {
	return strcmp(entry->version, machine->version) == 0;
}

const struct entry *pending(const struct machine *machine) {
	/* they are in the boot loader's order */
	const struct entry *first = machine->count ? &machine->entries[0] : NULL;
	return first && !is_running(machine, first) ? first : NULL;
}

static bool exists(const struct machine *machine, const char *name) {
	for (size_t i = 0; i < machine->count; i++)
		if (strcmp(machine->entries[i].name, name) == 0)
			return true;
	return false;
}

/* No tries left: the boot loader takes any other entry first. A cut in a rename can have left the version two
 * names, or none; where it has none there is nothing to do. The two may be one file still, so that neither may
 * be replaced. */
bool entry_demote(const struct machine *machine, struct problem *p) {
	char name[128];
	for (size_t i = 0, done = 0; i < machine->count; i++) {
		const struct entry *entry = &machine->entries[i];
		if (!is_running(machine, entry) || (entry->left == 0 && entry->done <= 0))
			continue;
		do {
			if (!entry_name(machine->image_id, machine->version, 0, (int)done++, name))
				return fail(p, "disk", "The name of the boot entry %s is too long.", entry->name);
		} while (exists(machine, name));
		if (!esp_rename(machine->esp, entry->name, name, p))
			return false;
	}
	return true;
}

static bool promote_running(const struct machine *machine, const struct entry *running, struct problem *p) {
	char name[128];
	return entry_name(machine->image_id, machine->version, -1, -1, name) &&
	       esp_rename(machine->esp, running->name, name, p);
}

/* Installed, and the boot loader has not started it. */
static bool is_new(const struct entry *entry) { return entry->left > 0 && entry->done <= 0; }

/* rolled back by hand */

static bool record_path(const struct machine *machine, char out[PATH_MAX]) {
	int length = snprintf(out, PATH_MAX, "%s/%s/record.json", machine->roots->failed, machine->version);
	return length > 0 && length < PATH_MAX;
}

static bool record(const struct machine *machine, const struct entry *other, struct problem *p) {
	char path[PATH_MAX], text[512];
	if (!record_path(machine, path))
		return fail(p, "space", "The name of the record is too long.");
	int length = snprintf(text, sizeof text,
	                      "{\"version\": \"%s\", \"kind\": \"rolled-back\", \"reason\": \"sent back to %s by hand\", "
	                      "\"when\": %lld, \"attempts\": 0}\n",
	                      machine->version, other->version, (long long)time(NULL));
	int status = make_parents(AT_FDCWD, path, 0755);
	if (status == 0)
		status = write_file(AT_FDCWD, path, text, (size_t)length, 0644);
	return status == 0 || fail(p, "space", "%s cannot be written: %s.", path, strerror(-status));
}

/* Takes back what record() has written, and nothing that a failed boot has. */
static void unrecord(const struct machine *machine) {
	AUTO_BLOB text = {0};
	char path[PATH_MAX];
	if (record_path(machine, path) && read_file(AT_FDCWD, path, 4096, &text) == 0 && text.size &&
	    strstr(text.data, "\"kind\": \"rolled-back\"")) {
		unlink(path);
		*strrchr(path, '/') = '\0';
		rmdir(path);
	}
}

static const struct entry *find_other(const struct machine *machine) {
	for (size_t i = 0; i < machine->count; i++)
		if (!is_running(machine, &machine->entries[i]))
			return &machine->entries[i];
	return NULL;
}

/* Does the entry start what the cold slot holds? */
static bool starts_cold(const struct machine *machine, const struct entry *other, struct problem *p) {
	const struct slot *cold = &machine->cold;
	AUTO_FD fd = esp_open(machine->esp, other->name, p);
	if (fd < 0)
		return false;
	return (strcmp(cold->version, other->version) == 0 && cold->root_hash[0] && uki_names_usr(fd, cold->root_hash)) ||
	       fail(p, "no-other", "The boot entry %s is not of the version in the other slot.", other->name);
}

bool rollback(const struct machine *machine, struct problem *p) {
	const struct entry *other = find_other(machine);
	if (!other)
		return fail(p, "no-other", "There is no other version to go back to.");
	if (other->left == 0)
		return fail(p, "no-other", "Version %s is marked as bad: `colvert-update update --version` can install it again.",
		            other->version);
	if (is_new(other))
		return fail(p, "no-other", "Version %s has not run here yet: there is nothing to go back to.", other->version);
	/* the record first: a version that was left must not come back by itself */
	return starts_cold(machine, other, p) && record(machine, other, p) && entry_demote(machine, p);
}

bool cancel(const struct machine *machine, struct problem *p) {
	const struct entry *next = pending(machine), *running = machine_running(machine);
	if (!next)
		return fail(p, "not-pending", "The next boot takes the version that runs, %s.", machine->version);
	if (!running)
		return fail(p, "disk", "The running version %s has no boot entry: nothing would be left to start.",
		            machine->version);
	bool demoted = running->left == 0;
	if (!is_new(next) && !demoted)
		return fail(p, "not-pending", "Version %s was not just installed; `colvert-update rollback` leaves it after it runs.",
		            next->version);
	/* first, so that there is a good entry at every moment */
	if (demoted && !promote_running(machine, running, p))
		return false;
	if (!is_new(next)) {
		unrecord(machine);
		return true;
	}
	return esp_remove_others(machine->esp, machine->image_id, machine->version, p) && slot_forget(machine, p);
}
