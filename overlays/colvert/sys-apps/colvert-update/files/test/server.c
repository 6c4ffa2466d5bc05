#include "server.h"

static const struct blob *part_of(const struct image *image, int part) {
	const struct blob *const all[PARTS] = {&image->usr, &image->verity, &image->uki, &image->signature};
	return all[part];
}

static void offer(struct server *server, int part, int which, const struct image *image, const struct image *old) {
	struct way *way = &server->ways[part][which];
	struct blob *file = &server->files[part][which];
	char sum[65];
	*file = frame_make(part_of(image, part), old ? part_of(old, part) : NULL);
	sha256_of(file, sum);
	strcpy(way->sha256, sum);
	strcpy(way->name, sum);
	strcat(way->name, ".zst");
	way->size = file->size;
	way->delta = old != NULL;
	if (!old)
		return;
	strcpy(way->from.version, old->version);
	strcpy(way->from.root_hash, old->root_hash);
	way->from.size = part_of(old, part)->size;
	sha256_of(part_of(old, part), sum);
	strcpy(way->from.sha256, sum);
}

void server_make(struct server *server, const struct image *image, const struct image *old) {
	*server = (struct server){0};
	struct release *release = &server->release;
	strcpy(release->version, image->version);
	strcpy(release->image_id, "colvert");
	strcpy(release->root_hash, image->root_hash);
	for (int part = 0; part < PARTS; part++) {
		offer(server, part, WHOLE, image, NULL);
		offer(server, part, DELTA, image, old);
		release->parts[part] = (struct part){.size = part_of(image, part)->size, .ways = server->ways[part], .count = FILES};
		sha256_of(part_of(image, part), release->parts[part].sha256);
	}
}

void server_done(struct server *server) {
	for (int part = 0; part < PARTS; part++)
		for (int which = 0; which < FILES; which++)
			blob_done(&server->files[part][which]);
}

int server_obtain(void *context, const struct way *way, struct problem *p) {
	struct server *server = context;
	for (int part = 0; part < PARTS; part++)
		for (int which = 0; which < FILES; which++) {
			if (way != &server->ways[part][which])
				continue;
			server->asked[part][which]++;
			struct blob file = server->files[part][which];
			int how = server->how[part][which];
			if (how == MISSING) {
				fail(p, "network", "It is not there.");
				return -1;
			}
			if (how == WRONG)
				return file_of(&server->files[part == PART_USR ? PART_VERITY : PART_USR][which]);
			file.size -= how == CUT ? 7 : 0;
			AUTO_BLOB copy = {0};
			CHECK(blob_add(&copy, file.data, file.size, file.size));
			if (how == DAMAGED)
				copy.data[copy.size / 2] ^= 0x10;
			return file_of(&copy);
		}
	CHECK(!"a file of the index");
	return -1;
}
