#include "gpt.h"

#include <fcntl.h>
#include <libfdisk/libfdisk.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

/* What a table says of a partition apart from its names. */
struct rest {
	uint64_t start, size;
	char type[40], attributes[80];
};

static void read_rest(const char *disk, struct rest out[PARTITIONS], char guid[40]) {
	struct fdisk_context *context = fdisk_new_context();
	struct fdisk_table *table = NULL;
	char *id = NULL;
	CHECK(fdisk_assign_device(context, disk, 1) == 0 && fdisk_get_partitions(context, &table) == 0);
	CHECK(fdisk_get_disklabel_id(context, &id) == 0 && fdisk_table_get_nents(table) == PARTITIONS);
	strcpy(guid, id);
	free(id);
	for (size_t i = 0; i < PARTITIONS; i++) {
		struct fdisk_partition *one = fdisk_table_get_partition(table, i);
		const char *attributes = fdisk_partition_get_attrs(one);
		out[i] = (struct rest){fdisk_partition_get_start(one), fdisk_partition_get_size(one)};
		strcpy(out[i].type, fdisk_parttype_get_string(fdisk_partition_get_type(one)));
		strcpy(out[i].attributes, attributes ? attributes : "");
	}
	fdisk_unref_table(table);
	fdisk_unref_context(context);
}

static struct gpt_partition *table_of(const char *disk) {
	struct problem p;
	struct gpt_partition *all;
	size_t count;
	CHECK(gpt_read(disk, &all, &count, &p) && count == PARTITIONS);
	return all;
}

static void names_change_and_nothing_else(const char *disk, const struct image *image) {
	struct problem p;
	struct rest before[PARTITIONS], after[PARTITIONS];
	char guid[40], guid_after[40];
	struct gpt_partition *old = table_of(disk);
	struct gpt_name names[3] = {{6, "colvert-usr_2"}, {7, "colvert-usr-verity_2"}, {8, "colvert-usr-verity-sig_2"}};
	CHECK(old[2].type == GPT_USR && old[6].type == GPT_VERITY && old[7].type == GPT_SIGNATURE && old[9].type == GPT_OTHER);
	CHECK(old[5].size == SLOT_USR && strcmp(old[5].label, GPT_EMPTY) == 0);
	CHECK(strncmp(old[2].uuid, image->root_hash, 8) == 0);
	for (int i = 0; i < 3; i++)
		gpt_random_uuid(names[i].uuid);
	read_rest(disk, before, guid);
	CHECK(gpt_rename(disk, names, 3, &p));
	read_rest(disk, after, guid_after);
	CHECK(memcmp(before, after, sizeof before) == 0 && strcmp(guid, guid_after) == 0);
	struct gpt_partition *now = table_of(disk);
	for (int i = 0; i < PARTITIONS; i++) {
		bool renamed = i >= 5 && i < 8;
		CHECK(strcmp(now[i].label, renamed ? names[i - 5].label : old[i].label) == 0);
		CHECK(strcmp(now[i].uuid, renamed ? names[i - 5].uuid : old[i].uuid) == 0);
	}
	free(old);
	free(now);
}

/* The bytes between the two copies of the table are not the table's. */
static void partitions_stay(const struct scene *scene) {
	const struct blob *disk = scene_get(scene, "dev/vda");
	for (size_t i = MIB; i < disk->size - MIB; i++)
		CHECK(disk->data[i] == (char)0xa5);
}

static void write_at(const char *disk, off_t at, const char *data, size_t size) {
	int fd = open(disk, O_WRONLY);
	CHECK(fd >= 0 && pwrite(fd, data, size, at) == (ssize_t)size);
	close(fd);
}

/* Each of the two copies alone is enough. */
static void one_copy_is_enough(const char *disk) {
	struct problem p;
	char zeros[512] = "";
	struct gpt_name name = {6, "colvert-usr_3", "11111111-2222-4333-8444-555555555555"};
	write_at(disk, 512, zeros, sizeof zeros);
	free(table_of(disk));
	CHECK(gpt_rename(disk, &name, 1, &p));
	write_at(disk, 32 * MIB - 512, zeros, sizeof zeros);
	struct gpt_partition *all = table_of(disk);
	CHECK(strcmp(all[5].label, name.label) == 0 && strcmp(all[5].uuid, name.uuid) == 0);
	free(all);
}

static void refused(const char *disk) {
	struct problem p = {0};
	struct gpt_name name = {6, "colvert-usr-verity-sig_12345678901234", "11111111-2222-4333-8444-555555555555"};
	struct gpt_partition *all;
	size_t count;
	CHECK(!gpt_rename(disk, &name, 1, &p) && strcmp(p.code, "format") == 0);
	CHECK(!gpt_read("/dev/null", &all, &count, &p) && strcmp(p.code, "disk") == 0);
	name.number = 40;
	strcpy(name.label, "x");
	CHECK(!gpt_rename(disk, &name, 1, &p) && strcmp(p.code, "disk") == 0);
}

static void devices(void) {
	char name[32];
	CHECK(gpt_device("/dev/vda", 3, name, sizeof name) && strcmp(name, "/dev/vda3") == 0);
	CHECK(gpt_device("/dev/nvme0n1", 7, name, sizeof name) && strcmp(name, "/dev/nvme0n1p7") == 0);
	CHECK(!gpt_device("/dev/nvme0n1", 7, name, 14));
}

int main(void) {
	struct image image;
	struct scene scene;
	char disk[64];
	image_make(&image, "1", 1);
	scene_make(&scene, &image);
	snprintf(disk, sizeof disk, "%s/dev/vda", scene.place);
	names_change_and_nothing_else(disk, &image);
	partitions_stay(&scene);
	refused(disk);
	one_copy_is_enough(disk);
	partitions_stay(&scene);
	devices();
	scene_done(&scene);
	image_done(&image);
}
