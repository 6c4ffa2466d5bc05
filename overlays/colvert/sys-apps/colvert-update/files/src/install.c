#include "install.h"

#include <stdio.h>
#include <string.h>

#include "esp.h"
#include "slot.h"
#include "supply.h"
#include "uki.h"
#include "verity.h"
#include "version.h"

enum { TRIES = 3 };

/* While what runs is on trial, a version that was found good is all there is to come back to. */
static bool may_go(const struct machine *machine, struct problem *p) {
	const struct entry *running = machine_running(machine);
	for (size_t i = 0; running->left >= 0 && i < machine->count; i++) {
		const struct entry *other = &machine->entries[i];
		if (other->left < 0 && strcmp(other->version, machine->version) != 0)
			return fail(p, "not-proved", "Version %s was not found good yet, and version %s in the other slot is the way "
			            "back. Wait for `systemctl is-system-running --wait`; after a rollback: `colvert-update cancel`.",
			            machine->version, other->version);
	}
	return true;
}

/* All that can be known before anything is touched. */
static bool check_room(const struct machine *machine, const struct release *release, struct problem *p) {
	if (strcmp(release->version, machine->version) == 0)
		return fail(p, "older", "Version %s runs already.", release->version);
	if (!machine_running(machine))
		return fail(p, "disk", "The running version %s has no boot entry on the ESP to come back to.", machine->version);
	return may_go(machine, p) && slot_fits(machine, release, p) &&
	       esp_room(machine->esp, machine->image_id, machine->version, release->parts[PART_UKI].size, p);
}

/* From here on nothing names the slot: no boot entry, then no partition. */
static bool take_slot(const struct machine *machine, struct problem *p) {
	return esp_remove_others(machine->esp, machine->image_id, machine->version, p) && slot_forget(machine, p);
}

static bool write_part(struct supply *supply, enum part_name part, struct problem *p) {
	char device[96];
	AUTO_FD fd = slot_open(supply->machine, part, p);
	return fd >= 0 && slot_device(supply->machine, part, device, p) && supply_put(supply, part, fd, device, p);
}

/* The release's signature, or none: not what another version left there. */
static bool write_signature(struct supply *supply, struct problem *p) {
	const struct machine *machine = supply->machine;
	char device[96];
	AUTO_FD fd = slot_open(machine, PART_SIGNATURE, p);
	if (fd < 0 || !slot_wipe(machine, PART_SIGNATURE, fd, p))
		return false;
	return !release_has(supply->release, PART_SIGNATURE) ||
	       (slot_device(machine, PART_SIGNATURE, device, p) && supply_put(supply, PART_SIGNATURE, fd, device, p));
}

/* What each part is was compared byte by byte; here whether they belong together. */
static bool check_slot(const struct machine *machine, const struct release *release, struct problem *p) {
	char data[96], hash[96];
	return slot_device(machine, PART_USR, data, p) && slot_device(machine, PART_VERITY, hash, p) &&
	       verity_check(data, hash, release->parts[PART_USR].size, release->root_hash, p);
}

static bool fill_entry(struct supply *supply, const char *name, struct problem *p) {
	const struct release *release = supply->release;
	AUTO_FD fd = esp_begin(supply->machine->esp, name, release->parts[PART_UKI].size, p);
	if (fd < 0 || !supply_put(supply, PART_UKI, fd, name, p))
		return false;
	return uki_names_usr(fd, release->root_hash) ||
	       fail(p, "format", "The boot entry of %s does not start its usr image.", release->version);
}

static bool add_entry(struct supply *supply, struct problem *p) {
	const struct machine *machine = supply->machine;
	char name[128];
	struct problem unused;
	if (!entry_name(machine->image_id, supply->release->version, TRIES, 0, name))
		return fail(p, "format", "The name of the boot entry is too long.");
	if (fill_entry(supply, name, p))
		return esp_commit(machine->esp, name, p);
	/* what is half there takes room that the next try needs */
	esp_remove_others(machine->esp, machine->image_id, machine->version, &unused);
	return false;
}

static bool put(struct supply *supply, struct problem *p) {
	const struct machine *machine = supply->machine;
	const struct release *release = supply->release;
	return take_slot(machine, p) && write_part(supply, PART_USR, p) && write_part(supply, PART_VERITY, p) &&
	       check_slot(machine, release, p) && write_signature(supply, p) && slot_announce(machine, release, p) &&
	       add_entry(supply, p);
}

bool install(
    const struct machine *machine, const struct release *release, obtain_fn *obtain, void *context, struct problem *p) {
	struct supply supply;
	if (!check_room(machine, release, p))
		return false;
	bool good = supply_open(&supply, machine, release, obtain, context, p) && put(&supply, p);
	supply_done(&supply);
	/* The boot loader takes the newest; an older one comes first only where the newer one counts as bad. */
	if (good && version_compare(release->version, machine->version) < 0)
		good = entry_demote(machine, p);
	return good;
}
