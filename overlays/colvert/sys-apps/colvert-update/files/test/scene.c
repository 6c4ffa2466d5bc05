#include "scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <libcryptsetup.h>
#include <libfdisk/libfdisk.h>
#include <openssl/sha.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "gpt.h"

/* files */

static void path_of(const struct scene *scene, const char *name, char out[256]) {
	snprintf(out, 256, "%s/%s", scene->place, name);
}

void scene_put(const struct scene *scene, const char *name, const void *data, size_t size) {
	char path[256];
	path_of(scene, name, path);
	CHECK(make_parents(AT_FDCWD, path, 0755) == 0);
	CHECK(write_file(AT_FDCWD, path, data, size, 0644) == 0);
}

static void put_text(const struct scene *scene, const char *name, const char *text) {
	scene_put(scene, name, text, strlen(text));
}

const struct blob *scene_get(const struct scene *scene, const char *name) {
	static struct blob data;
	char path[256];
	path_of(scene, name, path);
	blob_done(&data);
	CHECK(read_file(AT_FDCWD, path, 256 * MIB, &data) == 0);
	return &data;
}

bool scene_has(const struct scene *scene, const char *name) {
	char path[256];
	path_of(scene, name, path);
	return access(path, F_OK) == 0;
}

static int no_dots(const struct dirent *one) { return strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0; }

bool scene_holds(const struct scene *scene, const char *name, const struct blob *data) {
	const struct blob *have = scene_get(scene, name);
	return have->size >= data->size && memcmp(have->data, data->data, data->size) == 0;
}

bool scene_untouched(const struct scene *scene, const char *name, size_t size) {
	const struct blob *have = scene_get(scene, name);
	for (size_t i = 0; i < have->size; i++)
		if (have->data[i] != (char)0xa5)
			return false;
	return have->size == size;
}

bool scene_signed(const struct scene *scene, const char *name, const struct blob *signature) {
	const struct blob *have = scene_get(scene, name);
	size_t size = signature ? signature->size : 0;
	for (size_t i = size; i < have->size; i++)
		if (have->data[i])
			return false;
	return have->size == MIB && memcmp(have->data, size ? signature->data : "", size) == 0;
}

void scene_move(const struct scene *scene, const char *from, const char *to) {
	char old[256], new[256];
	path_of(scene, from, old);
	path_of(scene, to, new);
	CHECK(rename(old, new) == 0);
}

const char *scene_entries(const struct scene *scene) {
	static char all[2048];
	char path[256];
	struct dirent **names;
	path_of(scene, "esp/EFI/Linux", path);
	int count = scandir(path, &names, no_dots, alphasort);
	CHECK(count >= 0);
	all[0] = '\0';
	for (int i = 0; i < count; i++) {
		CHECK(strlen(all) + strlen(names[i]->d_name) + 2 < sizeof all);
		strcat(strcat(all, names[i]->d_name), " ");
		free(names[i]);
	}
	free(names);
	return all;
}

int file_of(const struct blob *data) {
	int fd = memfd_create("test", MFD_CLOEXEC);
	CHECK(fd >= 0 && write_all(fd, data->data, data->size) == 0);
	return fd;
}

/* the disk */

struct layout {
	const char *type, *label;
	uint64_t size;
};

static const struct layout layout[PARTITIONS] = {
	{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ESP", 4 * MIB},
	{"21686148-6449-6e6f-744e-656564454649", "BIOS-BOOT", MIB},
	{"8484680c-9521-48c6-9c11-b0720656f69e", "usr", SLOT_USR},
	{"77ff5f63-e7b6-4633-acf4-1565b864c0e6", "usr-verity", SLOT_VERITY},
	{"e7bb33fb-06cf-4e81-8273-e543b413e2e2", "usr-verity-sig", MIB},
	{"8484680c-9521-48c6-9c11-b0720656f69e", GPT_EMPTY, SLOT_USR},
	{"77ff5f63-e7b6-4633-acf4-1565b864c0e6", GPT_EMPTY, SLOT_VERITY},
	{"e7bb33fb-06cf-4e81-8273-e543b413e2e2", GPT_EMPTY, MIB},
	{"0fc63daf-8483-4772-8e79-3d69d8477de4", "OEM", MIB},
	{"4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "ROOT", 4 * MIB},
};

static void add_partition(struct fdisk_context *context, size_t number, uint64_t *start, const struct image *running) {
	const struct layout *one = &layout[number];
	struct fdisk_partition *partition = fdisk_new_partition();
	struct fdisk_parttype *type = fdisk_label_get_parttype_from_string(fdisk_get_label(context, NULL), one->type);
	char label[64], uuid[GPT_UUID_ROOM];
	gpt_random_uuid(uuid);
	snprintf(label, sizeof label, "%s", one->label);
	if (number >= 2 && number <= 4)
		snprintf(label, sizeof label, "colvert-%s_%s", one->label, running->version);
	if (number == 2 || number == 3)
		gpt_uuid_of(running->root_hash + (number == 3 ? 32 : 0), uuid);
	CHECK(partition && type);
	fdisk_partition_set_partno(partition, number);
	fdisk_partition_set_start(partition, *start / 512);
	fdisk_partition_set_size(partition, one->size / 512);
	fdisk_partition_set_type(partition, type);
	CHECK(fdisk_partition_set_name(partition, label) == 0 && fdisk_partition_set_uuid(partition, uuid) == 0);
	if (number >= 2 && number <= 4)
		CHECK(fdisk_partition_set_attrs(partition, "GUID:60") == 0);
	CHECK(fdisk_add_partition(context, partition, NULL) == 0);
	fdisk_unref_parttype(type);
	fdisk_unref_partition(partition);
	*start += one->size;
}

static void make_table(const char *disk, const struct image *running) {
	struct fdisk_context *context = fdisk_new_context();
	uint64_t start = MIB;
	CHECK(context && fdisk_assign_device(context, disk, 0) == 0 && fdisk_create_disklabel(context, "gpt") == 0);
	for (size_t i = 0; i < PARTITIONS; i++)
		add_partition(context, i, &start, running);
	CHECK(fdisk_write_disklabel(context) == 0 && fdisk_deassign_device(context, 1) == 0);
	fdisk_unref_context(context);
}

/* Bytes that tell on whoever writes where it must not. */
static void fill(const struct scene *scene, const char *name, uint64_t size, const struct blob *content) {
	struct blob data = {calloc(1, size), size};
	CHECK(data.data);
	memset(data.data, 0xa5, size);
	if (content)
		memcpy(data.data, content->data, content->size);
	scene_put(scene, name, data.data, data.size);
	blob_done(&data);
}

static void make_disk(const struct scene *scene, const struct image *running) {
	char path[256], name[32];
	fill(scene, "dev/vda", 32 * MIB, NULL);
	path_of(scene, "dev/vda", path);
	make_table(path, running);
	for (int i = 0; i < PARTITIONS; i++) {
		const struct blob *content = i == 2 ? &running->usr : i == 3 ? &running->verity : NULL;
		snprintf(name, sizeof name, "dev/vda%d", i + 1);
		fill(scene, name, layout[i].size, content);
	}
}

/* what the kernel says */

static void say_running(const struct scene *scene, const struct image *image) {
	char text[256];
	snprintf(text, sizeof text, "ID=colvert\nIMAGE_ID=colvert\nIMAGE_VERSION=\"%s\"\n", image->version);
	put_text(scene, "os-release", text);
	snprintf(text, sizeof text, "quiet usrhash=%s rw\n", image->root_hash);
	put_text(scene, "cmdline", text);
}

static void make_sys(const struct scene *scene, int first) {
	char path[256], target[64];
	put_text(scene, "sys/block/dm-0/dm/name", "usr\n");
	put_text(scene, "sys/block/dm-1/dm/name", "usrx\n");
	put_text(scene, "sys/block/dm-0/slaves/.keep", "");
	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof path, "sys/devices/block/vda/vda%d/partition", i + 1);
		snprintf(target, sizeof target, "%d\n", i + 1);
		put_text(scene, path, target);
		snprintf(target, sizeof target, "sys/block/dm-0/slaves/vda%d", i + 1);
		path_of(scene, target, path);
		unlink(path);
	}
	for (int i = first; i < first + 2; i++) {
		snprintf(target, sizeof target, "sys/block/dm-0/slaves/vda%d", i);
		path_of(scene, target, path);
		snprintf(target, sizeof target, "../../../devices/block/vda/vda%d", i);
		CHECK(symlink(target, path) == 0);
	}
}

void scene_make(struct scene *scene, const struct image *running) {
	static const char *const names[] = {"os-release", "cmdline", "sys", "dev", "esp"};
	char entry[80];
	*scene = (struct scene){"/tmp/colvert-update.XXXXXX"};
	CHECK(mkdtemp(scene->place));
	for (size_t i = 0; i < COUNT(names); i++)
		snprintf(scene->paths[i], sizeof scene->paths[i], "%s/%s", scene->place, names[i]);
	scene->roots = (struct roots){
		scene->paths[0], scene->paths[1], scene->paths[2], scene->paths[3], scene->paths[4], scene->place};
	make_disk(scene, running);
	make_sys(scene, 3);
	say_running(scene, running);
	snprintf(entry, sizeof entry, "esp/EFI/Linux/colvert_%s.efi", running->version);
	scene_put(scene, entry, running->uki.data, running->uki.size);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
	(void)info, (void)type, (void)where;
	return remove(path);
}

void scene_done(struct scene *scene) { CHECK(nftw(scene->place, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0); }

void scene_boot(const struct scene *scene, const struct image *image) {
	char from[80], to[80];
	say_running(scene, image);
	/* the slot is where the image is */
	bool second = memcmp(scene_get(scene, "dev/vda6")->data, image->usr.data, image->usr.size) == 0;
	make_sys(scene, second ? 6 : 3);
	snprintf(from, sizeof from, "esp/EFI/Linux/colvert_%s+3.efi", image->version);
	snprintf(to, sizeof to, "esp/EFI/Linux/colvert_%s.efi", image->version);
	scene_move(scene, from, to);
}

/* a release */

static void make_usr(struct image *image, unsigned seed) {
	static const struct blob none;
	uint32_t state = 1;
	image->usr = none;
	image->usr.data = malloc(USR_SIZE);
	image->usr.size = USR_SIZE;
	CHECK(image->usr.data);
	for (size_t i = 0; i < USR_SIZE; i++) {
		state = state * 1664525 + 1013904223;
		image->usr.data[i] = (char)(state >> 24);
	}
	/* one change in place, and all that follows moved by a few bytes */
	memcpy(image->usr.data + 5000, &seed, sizeof seed);
	memmove(image->usr.data + 200000 + seed % 100, image->usr.data + 200000, USR_SIZE - 200000 - 100);
}

static struct blob load(const char *path) {
	struct blob data = {0};
	CHECK(read_file(AT_FDCWD, path, 64 * MIB, &data) == 0);
	return data;
}

static void make_tree(struct image *image) {
	char usr[] = "/tmp/colvert-usr.XXXXXX", tree[] = "/tmp/colvert-tree.XXXXXX", key[32];
	int fd = mkstemp(usr), other = mkstemp(tree);
	CHECK(fd >= 0 && other >= 0 && write_all(fd, image->usr.data, image->usr.size) == 0);
	struct crypt_device *device;
	struct crypt_params_verity params = {
		.hash_name = "sha256",
		.data_device = usr,
		.salt = "salt",
		.salt_size = 4,
		.hash_type = 1,
		.data_block_size = 4096,
		.hash_block_size = 4096,
		.data_size = image->usr.size / 4096,
		.flags = CRYPT_VERITY_CREATE_HASH,
	};
	size_t size = sizeof key;
	CHECK(crypt_init(&device, tree) == 0);
	CHECK(crypt_format(device, CRYPT_VERITY, NULL, NULL, NULL, NULL, 0, &params) == 0);
	CHECK(crypt_volume_key_get(device, CRYPT_ANY_SLOT, key, &size, NULL, 0) == 0 && size == sizeof key);
	crypt_free(device);
	to_hex((unsigned char *)key, sizeof key, image->root_hash);
	image->verity = load(tree);
	close(fd);
	close(other);
	unlink(usr);
	unlink(tree);
}

static void put16(char *at, unsigned value) {
	at[0] = (char)value;
	at[1] = (char)(value >> 8);
}
static void put32(char *at, unsigned value) {
	put16(at, value & 0xffff);
	put16(at + 2, value >> 16);
}

/* A PE file with what a UKI has; its kernel is the image's first bytes, so that it differs little, too. */
static void make_uki(struct image *image) {
	enum { PE = 128, TABLE = PE + 24, DATA = 1024, ROOM = 64 << 10 };
	char line[128];
	int length = snprintf(line, sizeof line, "quiet usrhash=%s rw\n", image->root_hash);
	const struct {
		const char *name;
		const char *data;
		unsigned size;
	} sections[] = {{".linux", image->usr.data, 20000}, {".cmdline", line, (unsigned)length}, {".initrd", image->usr.data + 400000, 30000}};
	image->uki = (struct blob){calloc(1, ROOM), ROOM};
	char *data = image->uki.data;
	CHECK(data);
	memcpy(data, "MZ", 2);
	put32(data + 0x3c, PE);
	memcpy(data + PE, "PE\0\0", 4);
	put16(data + PE + 6, COUNT(sections));
	unsigned at = DATA;
	for (size_t i = 0; i < COUNT(sections); i++) {
		char *header = data + TABLE + 40 * i;
		memcpy(header, sections[i].name, strlen(sections[i].name));
		put32(header + 8, sections[i].size);
		put32(header + 16, (sections[i].size + 511) / 512 * 512);
		put32(header + 20, at);
		memcpy(data + at, sections[i].data, sections[i].size);
		at += (sections[i].size + 511) / 512 * 512;
	}
}

/* What it says does not matter here; that a longer one may be followed by a shorter one does. */
static void make_signature(struct image *image, unsigned seed) {
	enum { BLOCK = 4096 };
	char text[2 * BLOCK] = "";
	int length = snprintf(text, sizeof text, "{\"rootHash\":\"%s\",\"signature\":\"%0*u\"}", image->root_hash,
	                      seed % 2 ? BLOCK : 100, seed);
	size_t size = ((size_t)length + BLOCK - 1) / BLOCK * BLOCK;
	image->signature = (struct blob){0};
	CHECK(blob_add(&image->signature, text, size, size));
}

void image_make(struct image *image, const char *version, unsigned seed) {
	*image = (struct image){0};
	strcpy(image->version, version);
	make_usr(image, seed);
	make_tree(image);
	make_uki(image);
	make_signature(image, seed);
}

void image_done(struct image *image) {
	blob_done(&image->usr);
	blob_done(&image->verity);
	blob_done(&image->uki);
	blob_done(&image->signature);
}

struct blob frame_make(const struct blob *data, const struct blob *old) {
	ZSTD_CCtx *context = ZSTD_createCCtx();
	struct blob out = {malloc(ZSTD_compressBound(data->size)), ZSTD_compressBound(data->size)};
	CHECK(context && out.data);
	ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
	ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1);
	if (old)
		ZSTD_CCtx_refPrefix(context, old->data, old->size);
	out.size = ZSTD_compress2(context, out.data, out.size, data->data, data->size);
	CHECK(!ZSTD_isError(out.size));
	ZSTD_freeCCtx(context);
	return out;
}

void sha256_of(const struct blob *data, char out[65]) {
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)data->data, data->size, sum);
	to_hex(sum, sizeof sum, out);
}
