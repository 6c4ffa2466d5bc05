/* A machine made of files: a disk with a partition table, a file for each partition, an ESP, what /sys says. */
#pragma once

#include <stdint.h>

#include <colvert/check.h>
#include <colvert/util.h>

#include "machine.h"
#include "release.h"

enum {
	MIB = 1 << 20,
	SLOT_USR = 2 * MIB,
	SLOT_VERITY = MIB,
	USR_SIZE = MIB + 3 * 4096,
	PARTITIONS = 10,
};

/* One version of the system. */
struct image {
	char version[40], root_hash[65];
	struct blob usr, verity, uki, signature;
};

struct scene {
	char place[40]; /* a directory of its own below /tmp */
	char paths[5][64];
	struct roots roots;
};

void scene_make(struct scene *scene, const struct image *running);
void scene_done(struct scene *scene);
/* Below the scene's place. */
void scene_put(const struct scene *scene, const char *name, const void *data, size_t size);
/* The file's bytes; one file at a time. */
const struct blob *scene_get(const struct scene *scene, const char *name);
bool scene_has(const struct scene *scene, const char *name);
/* The file begins with these bytes. */
bool scene_holds(const struct scene *scene, const char *name, const struct blob *data);
/* It is as scene_make left it. */
bool scene_untouched(const struct scene *scene, const char *name, size_t size);
/* The signature that an index names, then zeros; or nothing but zeros. */
bool scene_signed(const struct scene *scene, const char *name, const struct blob *signature);
void scene_move(const struct scene *scene, const char *from, const char *to);
/* The names in the ESP's directory, sorted, with a space behind each. */
const char *scene_entries(const struct scene *scene);
/* What a boot of `image` makes of the scene: it runs, its entry was blessed. */
void scene_boot(const struct scene *scene, const struct image *image);

/* Usr images of different seeds are alike as two releases are. */
void image_make(struct image *image, const char *version, unsigned seed);
void image_done(struct image *image);

/* One zstd frame, from `old` where it is not NULL. */
struct blob frame_make(const struct blob *data, const struct blob *old);
void sha256_of(const struct blob *data, char out[65]);
/* An open file without a name. */
int file_of(const struct blob *data);
