#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpt.h"

enum { NAMES = 3 };

/* Three partitions of its own: whatever numbers a damaged table may have led to. */
static bool is_cold(const struct machine *machine) {
	const struct slot *hot = &machine->hot, *cold = &machine->cold;
	const int mine[] = {cold->usr, cold->verity, cold->signature}, its[] = {hot->usr, hot->verity, hot->signature};
	for (int i = 0; i < NAMES; i++)
		for (int j = 0; j < NAMES; j++)
			if (mine[i] <= 0 || mine[i] == its[j] || (i != j && mine[i] == mine[j]))
				return false;
	return true;
}

static bool check_cold(const struct machine *machine, struct problem *p) {
	return is_cold(machine) || fail(p, "disk", "The slots of %s are not apart.", machine->disk);
}

static void make_names(
    const struct machine *machine, const char *image_id, const char *version, struct gpt_name out[NAMES]) {
	static const char *const words[NAMES] = {"usr", "usr-verity", "usr-verity-sig"};
	const int numbers[NAMES] = {machine->cold.usr, machine->cold.verity, machine->cold.signature};
	for (int i = 0; i < NAMES; i++) {
		out[i].number = numbers[i];
		gpt_random_uuid(out[i].uuid);
		if (version)
			snprintf(out[i].label, sizeof out[i].label, "%s-%s_%s", image_id, words[i], version);
		else
			strcpy(out[i].label, GPT_EMPTY);
	}
}

static int number_of(const struct slot *slot, enum part_name part) {
	return part == PART_USR ? slot->usr : part == PART_VERITY ? slot->verity : slot->signature;
}

static uint64_t room_of(const struct slot *slot, enum part_name part) {
	return part == PART_USR ? slot->usr_size : part == PART_VERITY ? slot->verity_size : slot->signature_size;
}

static bool part_fits(const struct machine *machine, const struct release *release, enum part_name part, struct problem *p) {
	uint64_t size = release->parts[part].size, room = room_of(&machine->cold, part);
	return size <= room ||
	       fail(p, "slot-too-small", "%s of %s has %llu bytes, its partition has %llu: this machine needs a new disk layout.",
	            part_word(part), release->version, (unsigned long long)size, (unsigned long long)room);
}

bool slot_fits(const struct machine *machine, const struct release *release, struct problem *p) {
	struct gpt_name names[NAMES];
	make_names(machine, release->image_id, release->version, names);
	for (int i = 0; i < NAMES; i++)
		if (strlen(names[i].label) > GPT_LABEL_LENGTH)
			return fail(p, "format", "The partition label %s is longer than %d characters.", names[i].label,
			            GPT_LABEL_LENGTH);
	return check_cold(machine, p) && part_fits(machine, release, PART_USR, p) && part_fits(machine, release, PART_VERITY, p) &&
	       part_fits(machine, release, PART_SIGNATURE, p);
}

bool slot_forget(const struct machine *machine, struct problem *p) {
	struct gpt_name names[NAMES];
	if (!check_cold(machine, p))
		return false;
	make_names(machine, machine->image_id, NULL, names);
	return gpt_rename(machine->disk, names, NAMES, p);
}

bool slot_announce(const struct machine *machine, const struct release *release, struct problem *p) {
	struct gpt_name names[NAMES];
	if (!check_cold(machine, p))
		return false;
	make_names(machine, release->image_id, release->version, names);
	gpt_uuid_of(release->root_hash, names[0].uuid);
	gpt_uuid_of(release->root_hash + 32, names[1].uuid);
	return gpt_rename(machine->disk, names, NAMES, p);
}

static bool device_of(
    const struct machine *machine, const struct slot *slot, enum part_name part, char out[96], struct problem *p) {
	int number = number_of(slot, part);
	return gpt_device(machine->disk, number, out, 96) ||
	       fail(p, "disk", "Partition %d of %s has no device.", number, machine->disk);
}

bool slot_device(const struct machine *machine, enum part_name part, char out[96], struct problem *p) {
	return check_cold(machine, p) && device_of(machine, &machine->cold, part, out, p);
}

/* The kernel's idea of the partition must be the table's. */
static bool check_open(int fd, const char *device, uint64_t size, struct problem *p) {
	off_t have = lseek(fd, 0, SEEK_END);
	return (have > 0 && (uint64_t)have == size) ||
	       fail(p, "disk", "%s has %lld bytes, the partition table says %llu.", device, (long long)have,
	            (unsigned long long)size);
}

static int open_part(const struct machine *machine, const struct slot *slot, enum part_name part, int flags, struct problem *p) {
	char device[96];
	if (!device_of(machine, slot, part, device, p))
		return -1;
	AUTO_FD fd = open(device, flags | O_CLOEXEC);
	if (fd < 0) {
		fail(p, "disk", "%s cannot be opened: %s.", device, strerror(errno));
		return -1;
	}
	if (!check_open(fd, device, room_of(slot, part), p))
		return -1;
	int out = fd;
	fd = -1;
	return out;
}

int slot_open(const struct machine *machine, enum part_name part, struct problem *p) {
	/* O_EXCL: the kernel refuses a block device that is mounted or mapped */
	return check_cold(machine, p) ? open_part(machine, &machine->cold, part, O_RDWR | O_EXCL, p) : -1;
}

static bool write_zeros(int fd, uint64_t size) {
	static const char zeros[64 << 10];
	uint64_t done = 0;
	while (done < size) {
		uint64_t left = size - done;
		ssize_t count = pwrite(fd, zeros, left < sizeof zeros ? left : sizeof zeros, (off_t)done);
		if (count < 0 && errno != EINTR)
			return false;
		done += count > 0 ? (uint64_t)count : 0;
	}
	return fdatasync(fd) == 0;
}

bool slot_wipe(const struct machine *machine, enum part_name part, int fd, struct problem *p) {
	return write_zeros(fd, room_of(&machine->cold, part)) ||
	       fail(p, "disk", "The partition of %s cannot be written: %s.", part_word(part), strerror(errno));
}

int slot_open_hot(const struct machine *machine, enum part_name part, struct problem *p) {
	return open_part(machine, &machine->hot, part, O_RDONLY, p);
}
