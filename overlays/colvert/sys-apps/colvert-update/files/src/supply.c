#include "supply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob.h"
#include "esp.h"
#include "slot.h"

/* Listed anew: the entry has another name once this boot is found good, which may be at any moment. */
static int open_running(const struct machine *machine, struct problem *p) {
	struct machine now = *machine;
	now.entries = NULL;
	now.count = 0;
	if (!esp_list(machine->esp, machine->image_id, &now.entries, &now.count, p))
		return -1;
	const struct entry *running = machine_running(&now);
	int fd = running ? esp_open(now.esp, running->name, p) : -1;
	if (!running)
		fail(p, "disk", "The running version has no boot entry.");
	machine_done(&now);
	return fd;
}

/* The part that runs, from which a delta starts; -1. */
static int open_old(const struct machine *machine, enum part_name part, struct problem *p) {
	return part == PART_UKI ? open_running(machine, p) : slot_open_hot(machine, part, p);
}

/* The SHA-256 of the running UKI, empty where there is none. */
static void running_uki(const struct machine *machine, char out[65]) {
	struct problem unused;
	struct stat info;
	out[0] = '\0';
	AUTO_FD fd = open_old(machine, PART_UKI, &unused);
	if (fd >= 0 && fstat(fd, &info) == 0)
		blob_sha256(&(struct region){fd, (uint64_t)info.st_size, "The running UKI"}, out, &unused);
}

/* usr and verity follow from the root hash that runs; the UKI is a file that anything may have happened to. What is in
 * the signature's partition follows from nothing, and is smaller than a delta. */
static bool starts_here(const struct machine *machine, enum part_name part, const struct origin *from) {
	char have[65];
	if (part == PART_SIGNATURE)
		return false;
	if (part != PART_UKI)
		return strcmp(from->root_hash, machine->root_hash) == 0;
	running_uki(machine, have);
	return have[0] && strcmp(from->sha256, have) == 0;
}

static void choose(struct supply *supply, enum part_name part) {
	const struct part *its = &supply->release->parts[part];
	for (int whole = 0; whole < 2; whole++)
		for (size_t i = 0; i < its->count && supply->parts[part].count < WAYS_MAX; i++) {
			const struct way *way = &its->ways[i];
			if (way->delta != !whole || (way->delta && !starts_here(supply->machine, part, &way->from)))
				continue;
			supply->parts[part].ways[supply->parts[part].count++] = way;
		}
}

static bool obtain_next(struct supply *supply, enum part_name part, struct problem *p) {
	if (!supply->parts[part].count)
		return fail(p, "format", "The index has no file of %s for this machine.", part_word(part));
	while (supply->parts[part].next < supply->parts[part].count) {
		const struct way *way = supply->parts[part].ways[supply->parts[part].next++];
		supply->parts[part].file = supply->obtain(supply->context, way, p);
		if (supply->parts[part].file >= 0)
			return true;
	}
	return false;
}

bool supply_open(struct supply *supply, const struct machine *machine, const struct release *release, obtain_fn *obtain,
                 void *context, struct problem *p) {
	*supply = (struct supply){.machine = machine, .release = release, .obtain = obtain, .context = context};
	for (int part = 0; part < PARTS; part++)
		supply->parts[part].file = -1;
	for (int part = 0; part < PARTS; part++) {
		if (part == PART_SIGNATURE && !release_has(release, PART_SIGNATURE))
			continue;
		choose(supply, (enum part_name)part);
		if (!obtain_next(supply, (enum part_name)part, p))
			return false;
	}
	return true;
}

void supply_done(struct supply *supply) {
	for (int part = 0; part < PARTS; part++)
		close_done(&supply->parts[part].file);
}

static bool decode(struct supply *supply, enum part_name part, const struct region *target, struct problem *p) {
	const struct way *way = supply->parts[part].ways[supply->parts[part].next - 1];
	const struct region frame = {supply->parts[part].file, way->size, way->name};
	if (!way->delta)
		return blob_decode(&frame, NULL, target, p);
	AUTO_FD fd = open_old(supply->machine, part, p);
	const struct region old = {fd, way->from.size, "The running system"};
	return fd >= 0 && blob_decode(&frame, &old, target, p);
}

bool supply_put(struct supply *supply, enum part_name part, int fd, const char *name, struct problem *p) {
	const struct part *its = &supply->release->parts[part];
	const struct region target = {fd, its->size, name};
	for (;;) {
		if (supply->parts[part].file < 0 && !obtain_next(supply, part, p))
			return false;
		bool good = decode(supply, part, &target, p) && blob_check(&target, its->sha256, p);
		close_done(&supply->parts[part].file);
		if (good || supply->parts[part].next == supply->parts[part].count)
			return good;
		fprintf(stderr, "%s The next file is taken.\n", p->text);
	}
}
