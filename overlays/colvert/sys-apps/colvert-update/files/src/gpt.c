#include "gpt.h"

#include <errno.h>
#include <libfdisk/libfdisk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

/* Discoverable Partitions Specification, x86-64 */
static const struct {
	const char *uuid;
	enum gpt_type type;
} types[] = {
	{"8484680c-9521-48c6-9c11-b0720656f69e", GPT_USR},
	{"77ff5f63-e7b6-4633-acf4-1565b864c0e6", GPT_VERITY},
	{"e7bb33fb-06cf-4e81-8273-e543b413e2e2", GPT_SIGNATURE},
};

static void context_done(struct fdisk_context **context) { fdisk_unref_context(*context); }
static void table_done(struct fdisk_table **table) { fdisk_unref_table(*table); }
static void partition_done(struct fdisk_partition **partition) { fdisk_unref_partition(*partition); }

static bool open_disk(const char *disk, bool readonly, struct fdisk_context **out, struct problem *p) {
	*out = fdisk_new_context();
	int error = *out ? fdisk_assign_device(*out, disk, readonly) : -ENOMEM;
	if (error)
		return fail(p, "disk", "%s cannot be opened: %s.", disk, strerror(-error));
	if (!fdisk_is_labeltype(*out, FDISK_DISKLABEL_GPT))
		return fail(p, "disk", "%s has no GUID partition table.", disk);
	return true;
}

static enum gpt_type type_of(struct fdisk_partition *partition) {
	struct fdisk_parttype *type = fdisk_partition_get_type(partition);
	const char *uuid = type ? fdisk_parttype_get_string(type) : NULL;
	for (size_t i = 0; uuid && i < COUNT(types); i++)
		if (strcasecmp(uuid, types[i].uuid) == 0)
			return types[i].type;
	return GPT_OTHER;
}

static void lower(char *text) {
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
}

static void describe(struct fdisk_context *context, struct fdisk_partition *partition, struct gpt_partition *out) {
	const char *name = fdisk_partition_get_name(partition), *uuid = fdisk_partition_get_uuid(partition);
	*out = (struct gpt_partition){
		.number = (int)fdisk_partition_get_partno(partition) + 1,
		.type = type_of(partition),
		.size = fdisk_partition_get_size(partition) * fdisk_get_sector_size(context),
	};
	copy_text(out->label, sizeof out->label, name ? name : "");
	copy_text(out->uuid, sizeof out->uuid, uuid ? uuid : "");
	lower(out->uuid);
}

static bool read_table(struct fdisk_context *context, struct gpt_partition **out, size_t *count, struct problem *p) {
	AUTO(struct fdisk_table *, table_done) table = NULL;
	struct fdisk_iter *each = fdisk_new_iter(FDISK_ITER_FORWARD);
	int error = each ? fdisk_get_partitions(context, &table) : -ENOMEM;
	*count = 0;
	*out = error ? NULL : calloc(fdisk_table_get_nents(table) + 1, sizeof **out);
	if (*out) {
		struct fdisk_partition *partition;
		while (fdisk_table_next_partition(table, each, &partition) == 0)
			if (fdisk_partition_is_used(partition))
				describe(context, partition, &(*out)[(*count)++]);
	}
	fdisk_free_iter(each);
	return *out || fail(p, "disk", "The partitions of %s cannot be read.", fdisk_get_devname(context));
}

static int by_number(const void *a, const void *b) {
	return ((const struct gpt_partition *)a)->number - ((const struct gpt_partition *)b)->number;
}

bool gpt_read(const char *disk, struct gpt_partition **out, size_t *count, struct problem *p) {
	AUTO(struct fdisk_context *, context_done) context = NULL;
	*out = NULL;
	*count = 0;
	if (!open_disk(disk, true, &context, p) || !read_table(context, out, count, p))
		return false;
	qsort(*out, *count, sizeof **out, by_number);
	return true;
}

/* Label and UUID only: what a template does not say stays as it is in the table. */
static int set_one(struct fdisk_context *context, const struct gpt_name *name) {
	AUTO(struct fdisk_partition *, partition_done) wanted = fdisk_new_partition();
	if (!wanted)
		return -ENOMEM;
	int error = fdisk_partition_set_name(wanted, name->label);
	if (!error)
		error = fdisk_partition_set_uuid(wanted, name->uuid);
	return error ? error : fdisk_set_partition(context, (size_t)name->number - 1, wanted);
}

/* libfdisk writes the second copy before the first, as UEFI wants it: one of the two is always whole. */
static int write_table(struct fdisk_context *context) {
	int fd = fdisk_get_devfd(context);
	/* udevd keeps away from a device with this lock, and looks at all its partitions again when
	 * the device is closed: /dev/disk/by-partuuid follows without the kernel reading the table anew,
	 * which it could not while the disk is in use. */
	if (flock(fd, LOCK_EX) < 0)
		return -errno;
	int error = fdisk_write_disklabel(context);
	if (!error && fsync(fd) < 0)
		error = -errno;
	return error;
}

static bool same(const struct gpt_partition *have, const struct gpt_name *want) {
	return have->number == want->number && strcmp(have->label, want->label) == 0 && strcmp(have->uuid, want->uuid) == 0;
}

static bool check_table(const char *disk, const struct gpt_name *names, size_t count, struct problem *p) {
	struct gpt_partition *have = NULL;
	size_t partitions, found = 0;
	if (!gpt_read(disk, &have, &partitions, p))
		return false;
	for (size_t i = 0; i < partitions; i++)
		for (size_t j = 0; j < count; j++)
			found += same(&have[i], &names[j]);
	free(have);
	return found == count || fail(p, "disk", "The partition table of %s does not read back as it was written.", disk);
}

bool gpt_rename(const char *disk, const struct gpt_name *names, size_t count, struct problem *p) {
	AUTO(struct fdisk_context *, context_done) context = NULL;
	for (size_t i = 0; i < count; i++)
		if (strlen(names[i].label) > GPT_LABEL_LENGTH)
			return fail(p, "format", "The partition label %s is longer than %d characters.", names[i].label,
			            GPT_LABEL_LENGTH);
	if (!open_disk(disk, false, &context, p))
		return false;
	int error = 0;
	for (size_t i = 0; i < count && !error; i++)
		error = set_one(context, &names[i]);
	if (!error)
		error = write_table(context);
	/* not its sync(2) of everything, which would make other programs wait */
	fdisk_deassign_device(context, 1);
	if (error)
		return fail(p, "disk", "The partition table of %s cannot be written: %s.", disk, strerror(-error));
	return check_table(disk, names, count, p);
}

bool gpt_device(const char *disk, int number, char *out, size_t room) {
	char *name = fdisk_partname(disk, (size_t)number);
	bool fits = name && copy_text(out, room, name);
	free(name);
	return fits;
}

void gpt_random_uuid(char out[GPT_UUID_ROOM]) {
	unsigned char bytes[16];
	char hex[2 * sizeof bytes + 1];
	/* 16 bytes come whole, once the kernel has any at all */
	while (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		;
	/* RFC 9562: version 4, variant 10 */
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	to_hex(bytes, sizeof bytes, hex);
	gpt_uuid_of(hex, out);
}

void gpt_uuid_of(const char *hex, char out[GPT_UUID_ROOM]) {
	snprintf(out, GPT_UUID_ROOM, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}
