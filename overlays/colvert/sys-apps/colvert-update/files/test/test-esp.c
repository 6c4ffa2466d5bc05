#include "esp.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scene.h"

static void names(void) {
	struct entry entry;
	char name[128];
	CHECK(entry_parse("colvert_1.2.efi", "colvert", &entry) && entry.left == -1 && entry.done == -1);
	CHECK_TEXT(entry.version, "1.2");
	CHECK(entry_parse("colvert_1.2+3.efi", "colvert", &entry) && entry.left == 3 && entry.done == -1);
	CHECK(entry_parse("colvert_1.2+0-3.efi", "colvert", &entry) && entry.left == 0 && entry.done == 3);
	CHECK_TEXT(entry.version, "1.2");
	static const char *const others[] = {
		"colvert_1.2",          "colvert_.efi",          "colvert_+3.efi",    "colvert_1+.efi",       "colvert_1+3-.efi",
		"colvert_1+3-1x.efi",   "colvert_1+99999999999.efi", "colvertx_1.efi", "colvert-1.efi",      "other_1.efi",
		".colvert_1.efi",       ".colvert_1+3.efi.tmp",  "colvert_1 2.efi",   "colvert_../1.efi",     "colvert_1+3+3.efi",
		"colvert_1+-1.efi",     "colvert_1-1.efi",       "COLVERT_1.EFI",     "colvert_1+3.efi.efi",
	};
	for (size_t i = 0; i < COUNT(others); i++)
		if (entry_parse(others[i], "colvert", &entry)) {
			fprintf(stderr, "%s is taken\n", others[i]);
			exit(1);
		}
	CHECK(entry_name("colvert", "1", 3, 0, name) && strcmp(name, "colvert_1+3.efi") == 0);
	CHECK(entry_name("colvert", "1", 2, 1, name) && strcmp(name, "colvert_1+2-1.efi") == 0);
	CHECK(entry_name("colvert", "1", 0, -1, name) && strcmp(name, "colvert_1+0.efi") == 0);
	CHECK(entry_name("colvert", "1", -1, 5, name) && strcmp(name, "colvert_1.efi") == 0);
}

static void put(const struct scene *scene, const char *name) {
	char path[128];
	snprintf(path, sizeof path, "esp/EFI/Linux/%s", name);
	scene_put(scene, path, name, strlen(name));
}

/* As systemd-boot sorts: bad ones last, the newest first. */
static void order(const struct scene *scene) {
	struct problem p;
	struct entry *all;
	size_t count;
	put(scene, "colvert_9+0-3.efi");
	put(scene, "colvert_10+3.efi");
	put(scene, "colvert_2+1-2.efi");
	put(scene, "other_3.efi");
	put(scene, "memtest.efi");
	/* cut in its rename */
	scene_put(scene, "esp/EFI/Linux/colvert_11+3.efi", "", 0);
	CHECK(esp_list(scene->roots.esp, "colvert", &all, &count, &p) && count == 4);
	CHECK_TEXT(all[0].version, "10");
	CHECK_TEXT(all[1].version, "2");
	CHECK_TEXT(all[2].version, "1");
	CHECK_TEXT(all[3].version, "9");
	free(all);
}

static void others_go(const struct scene *scene) {
	struct problem p;
	put(scene, ".colvert_10+3.efi.tmp");
	put(scene, ".other_1.efi.tmp");
	CHECK(esp_remove_others(scene->roots.esp, "colvert", "1", &p));
	CHECK_TEXT(scene_entries(scene), ".other_1.efi.tmp colvert_1.efi memtest.efi other_3.efi ");
}

static void a_new_one(const struct scene *scene) {
	struct problem p;
	const char *esp = scene->roots.esp;
	int fd = esp_begin(esp, "colvert_2+3.efi", 1000, &p);
	CHECK(fd >= 0 && pwrite(fd, "new", 3, 0) == 3);
	close(fd);
	struct entry *all;
	size_t count;
	CHECK(esp_list(esp, "colvert", &all, &count, &p) && count == 1);
	free(all);
	CHECK(esp_commit(esp, "colvert_2+3.efi", &p));
	CHECK(scene_get(scene, "esp/EFI/Linux/colvert_2+3.efi")->size == 1000);
	CHECK(esp_rename(esp, "colvert_2+3.efi", "colvert_2+2-1.efi", &p));
	CHECK(!esp_rename(esp, "colvert_2+3.efi", "colvert_2+2-1.efi", &p) && strcmp(p.code, "disk") == 0);
	CHECK_TEXT(scene_entries(scene), ".other_1.efi.tmp colvert_1.efi colvert_2+2-1.efi memtest.efi other_3.efi ");
}

static void room(const struct scene *scene) {
	struct problem p;
	const char *esp = scene->roots.esp;
	CHECK(esp_room(esp, "colvert", "1", 1000, &p));
	CHECK(!esp_room(esp, "colvert", "1", UINT64_MAX / 2, &p) && strcmp(p.code, "esp-full") == 0);
	CHECK(esp_begin(esp, "colvert_3+3.efi", (uint64_t)1 << 62, &p) == -1);
	CHECK(!scene_has(scene, "esp/EFI/Linux/.colvert_3+3.efi.tmp"));
	CHECK(esp_open(esp, "colvert_9.efi", &p) == -1 && strcmp(p.code, "disk") == 0);
	CHECK(!esp_room("/nowhere", "colvert", "1", 1000, &p) && strcmp(p.code, "disk") == 0);
}

int main(void) {
	struct image image;
	struct scene scene;
	names();
	image_make(&image, "1", 1);
	scene_make(&scene, &image);
	order(&scene);
	others_go(&scene);
	a_new_one(&scene);
	room(&scene);
	scene_done(&scene);
	image_done(&image);
}
