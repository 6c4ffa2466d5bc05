#include "install.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gpt.h"
#include "scene.h"
#include "server.h"
#include "steps.h"

/* the world */

static struct image one, two, three;
static struct scene scene;

static bool try_install(struct server *server, struct problem *p) {
	struct machine machine;
	*p = (struct problem){.code = ""};
	CHECK(machine_read_from(&scene.roots, &machine, p));
	bool good = install(&machine, &server->release, server_obtain, server, p);
	machine_done(&machine);
	return good;
}

/* Whatever happened: what runs is as it was, and nothing else than the cold slot was written. */
static void check_safe(void) {
	const struct blob *disk;
	char rest[SLOT_USR];
	CHECK(scene_holds(&scene, "dev/vda3", &one.usr) && scene_holds(&scene, "dev/vda4", &one.verity));
	memset(rest, 0xa5, sizeof rest);
	CHECK(memcmp(scene_get(&scene, "dev/vda3")->data + USR_SIZE, rest, SLOT_USR - USR_SIZE) == 0);
	CHECK(scene_untouched(&scene, "dev/vda1", 4 * MIB) && scene_untouched(&scene, "dev/vda2", MIB));
	CHECK(scene_untouched(&scene, "dev/vda5", MIB));
	CHECK(scene_untouched(&scene, "dev/vda9", MIB) && scene_untouched(&scene, "dev/vda10", 4 * MIB));
	disk = scene_get(&scene, "dev/vda");
	for (size_t i = MIB; i < disk->size - MIB; i++)
		CHECK(disk->data[i] == (char)0xa5);
	disk = scene_get(&scene, "dev/vda6");
	for (size_t i = USR_SIZE; i < SLOT_USR; i++)
		CHECK(disk->data[i] == (char)0xa5);
}

/* A boot entry of another version stands for a slot that is whole and has its names. */
static void check_entries(const struct image *image) {
	struct machine machine;
	struct problem p;
	CHECK(machine_read_from(&scene.roots, &machine, &p) && machine_running(&machine));
	CHECK(machine.hot.usr == 3 && machine.cold.usr == 6 && strcmp(machine.hot.root_hash, one.root_hash) == 0);
	char path[160];
	for (size_t i = 0; i < machine.count; i++) {
		const struct entry *entry = &machine.entries[i];
		const struct image *its = strcmp(entry->version, "1") == 0 ? &one : image;
		snprintf(path, sizeof path, "esp/EFI/Linux/%s", entry->name);
		CHECK(strcmp(entry->version, its->version) == 0 && scene_holds(&scene, path, &its->uki) &&
		      scene_get(&scene, path)->size == its->uki.size);
	}
	/* a slot that can be found by its root hash is whole, too */
	if (machine.cold.version[0]) {
		CHECK(strcmp(machine.cold.version, image->version) == 0 && strcmp(machine.cold.root_hash, image->root_hash) == 0);
		CHECK(scene_holds(&scene, "dev/vda6", &image->usr) && scene_holds(&scene, "dev/vda7", &image->verity));
		CHECK(scene_signed(&scene, "dev/vda8", &image->signature));
	} else {
		CHECK(machine.count == 1);
	}
	machine_done(&machine);
}

static void check_installed(const struct image *image) {
	struct machine machine;
	struct problem p;
	char entry[80];
	check_safe();
	check_entries(image);
	snprintf(entry, sizeof entry, "colvert_1.efi colvert_%s+3.efi ", image->version);
	CHECK_TEXT(scene_entries(&scene), entry);
	CHECK(machine_read_from(&scene.roots, &machine, &p));
	CHECK(pending(&machine) && strcmp(pending(&machine)->version, image->version) == 0);
	CHECK_TEXT(machine.cold.version, image->version);
	machine_done(&machine);
}

/* deltas and whole files */

static void by_delta(void) {
	struct server server;
	struct problem p;
	server_make(&server, &two, &one);
	scene_make(&scene, &one);
	CHECK(try_install(&server, &p));
	check_installed(&two);
	/* no delta leads to a signature */
	for (int part = 0; part < PARTS; part++)
		CHECK(server.asked[part][DELTA] == (part != PART_SIGNATURE) && server.asked[part][WHOLE] == (part == PART_SIGNATURE));
	/* again, over itself */
	CHECK(try_install(&server, &p));
	check_installed(&two);
	scene_done(&scene);
	server_done(&server);
}

/* Deltas from what does not run here are not asked for. */
static void from_elsewhere(void) {
	struct server server;
	struct problem p;
	server_make(&server, &two, &three);
	scene_make(&scene, &one);
	CHECK(try_install(&server, &p));
	check_installed(&two);
	for (int part = 0; part < PARTS; part++)
		CHECK(server.asked[part][DELTA] == 0 && server.asked[part][WHOLE] == 1);
	scene_done(&scene);
	server_done(&server);
}

/* An index that names no signature, over a slot that has one. */
static void without_signature(void) {
	struct server server, other;
	struct problem p;
	server_make(&server, &two, &one);
	server_make(&other, &three, &one);
	other.release.parts[PART_SIGNATURE] = (struct part){0};
	scene_make(&scene, &one);
	CHECK(try_install(&server, &p));
	CHECK(scene_signed(&scene, "dev/vda8", &two.signature));
	CHECK(try_install(&other, &p));
	check_safe();
	CHECK(scene_holds(&scene, "dev/vda6", &three.usr) && scene_signed(&scene, "dev/vda8", NULL));
	CHECK(!other.asked[PART_SIGNATURE][WHOLE] && !other.asked[PART_SIGNATURE][DELTA]);
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi colvert_3+3.efi ");
	scene_done(&scene);
	server_done(&server);
	server_done(&other);
}

static void bad_delta(int part, int how) {
	struct server server;
	struct problem p;
	server_make(&server, &two, &one);
	server.how[part][DELTA] = how;
	scene_make(&scene, &one);
	CHECK(try_install(&server, &p));
	check_installed(&two);
	CHECK(server.asked[part][DELTA] == 1 && server.asked[part][WHOLE] == 1);
	scene_done(&scene);
	server_done(&server);
}

/* The entry loses its counter while the index is on its way. */
static void blessed_meanwhile(void) {
	static const char good[] = "esp/EFI/Linux/colvert_1.efi", tried[] = "esp/EFI/Linux/colvert_1+2-1.efi";
	struct server server;
	struct machine machine;
	struct problem p;
	server_make(&server, &two, &one);
	scene_make(&scene, &one);
	scene_move(&scene, good, tried);
	CHECK(machine_read_from(&scene.roots, &machine, &p));
	scene_move(&scene, tried, good);
	CHECK(install(&machine, &server.release, server_obtain, &server, &p) && !server.asked[PART_UKI][WHOLE]);
	machine_done(&machine);
	scene_done(&scene);
	server_done(&server);
}

/* A running UKI that is not the one of the release: its delta is of no use, the others are. */
static void changed_uki(void) {
	struct server server;
	struct problem p;
	struct image other = one;
	server_make(&server, &two, &one);
	other.uki = (struct blob){0};
	CHECK(blob_add(&other.uki, one.uki.data, one.uki.size, one.uki.size));
	other.uki.data[60000] ^= 1;
	scene_make(&scene, &other);
	CHECK(try_install(&server, &p));
	CHECK(server.asked[PART_UKI][WHOLE] == 1 && server.asked[PART_UKI][DELTA] == 0 && server.asked[PART_USR][DELTA] == 1);
	CHECK(scene_holds(&scene, "esp/EFI/Linux/colvert_2+3.efi", &two.uki));
	scene_done(&scene);
	server_done(&server);
	blob_done(&other.uki);
}

static void bad_everything(int part, int how) {
	struct server server;
	struct problem p;
	server_make(&server, &two, &one);
	server.how[part][DELTA] = server.how[part][WHOLE] = how;
	scene_make(&scene, &one);
	CHECK(!try_install(&server, &p) && p.code[0]);
	check_safe();
	check_entries(&two);
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi ");
	if (how == MISSING) {
		CHECK(strcmp(p.code, "network") == 0 && scene_untouched(&scene, "dev/vda6", SLOT_USR));
	}
	/* and the next try finds nothing in its way */
	server.how[part][WHOLE] = GOOD;
	CHECK(try_install(&server, &p));
	check_installed(&two);
	scene_done(&scene);
	server_done(&server);
}

/* Parts that are what the index says, and do not belong together. */
static void wrong_root_hash(void) {
	struct server server;
	struct problem p;
	server_make(&server, &two, &one);
	strcpy(server.release.root_hash, three.root_hash);
	scene_make(&scene, &one);
	CHECK(!try_install(&server, &p));
	CHECK_TEXT(p.code, "verity");
	check_entries(&two);
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi ");
	scene_done(&scene);
	server_done(&server);
}

static void foreign_uki(void) {
	struct server server, other;
	struct problem p;
	server_make(&server, &two, &one);
	server_make(&other, &three, &one);
	server.release.parts[PART_UKI] = other.release.parts[PART_UKI];
	server.files[PART_UKI][DELTA] = (blob_done(&server.files[PART_UKI][DELTA]), other.files[PART_UKI][DELTA]);
	server.files[PART_UKI][WHOLE] = (blob_done(&server.files[PART_UKI][WHOLE]), other.files[PART_UKI][WHOLE]);
	memcpy(server.ways[PART_UKI], other.ways[PART_UKI], sizeof other.ways[PART_UKI]);
	server.release.parts[PART_UKI].ways = server.ways[PART_UKI];
	scene_make(&scene, &one);
	CHECK(!try_install(&server, &p));
	CHECK_TEXT(p.code, "format");
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi ");
	scene_done(&scene);
	server_done(&server);
	blob_done(&other.files[PART_USR][0]), blob_done(&other.files[PART_USR][1]);
	blob_done(&other.files[PART_VERITY][0]), blob_done(&other.files[PART_VERITY][1]);
	blob_done(&other.files[PART_SIGNATURE][0]), blob_done(&other.files[PART_SIGNATURE][1]);
}

/* refusals, before anything is touched */

static void refused(const char *code, void (*change)(struct server *)) {
	struct server server;
	struct problem p;
	server_make(&server, &two, &one);
	scene_make(&scene, &one);
	change(&server);
	AUTO_BLOB before = {0};
	const struct blob *disk = scene_get(&scene, "dev/vda");
	CHECK(blob_add(&before, disk->data, disk->size, disk->size));
	CHECK(!try_install(&server, &p));
	CHECK_TEXT(p.code, code);
	CHECK(scene_holds(&scene, "dev/vda", &before));
	CHECK(scene_untouched(&scene, "dev/vda6", SLOT_USR) && scene_untouched(&scene, "dev/vda7", SLOT_VERITY));
	CHECK(scene_untouched(&scene, "dev/vda8", MIB));
	for (int part = 0; part < PARTS; part++)
		CHECK(!server.asked[part][WHOLE] && !server.asked[part][DELTA]);
	scene_done(&scene);
	server_done(&server);
}

static void large_usr(struct server *server) { server->release.parts[PART_USR].size = SLOT_USR + 1; }
static void large_tree(struct server *server) { server->release.parts[PART_VERITY].size = SLOT_VERITY + 1; }
static void large_signature(struct server *server) { server->release.parts[PART_SIGNATURE].size = MIB + 1; }
static void large_uki(struct server *server) { server->release.parts[PART_UKI].size = (uint64_t)1 << 62; }
static void long_version(struct server *server) { strcpy(server->release.version, "12345678901234"); }
static void same_version(struct server *server) { strcpy(server->release.version, "1"); }
static void no_entry(struct server *server) {
	char path[128];
	(void)server;
	snprintf(path, sizeof path, "%s/esp/EFI/Linux/colvert_1.efi", scene.place);
	CHECK(unlink(path) == 0);
}

/* A hot slot that says it is the cold one too: there is no way to write to it. */
static void slots_apart(void) {
	struct server server;
	struct machine machine;
	struct problem p;
	server_make(&server, &two, &one);
	scene_make(&scene, &one);
	CHECK(machine_read_from(&scene.roots, &machine, &p));
	machine.cold.usr = machine.hot.usr;
	CHECK(!install(&machine, &server.release, server_obtain, &server, &p));
	CHECK_TEXT(p.code, "disk");
	CHECK(!cancel(&machine, &p));
	check_safe();
	machine_done(&machine);
	scene_done(&scene);
	server_done(&server);
}

static void not_on_a_slot(void) {
	struct machine machine;
	struct problem p;
	char path[128];
	scene_make(&scene, &one);
	snprintf(path, sizeof path, "%s/sys/block/dm-0/slaves/vda4", scene.place);
	CHECK(unlink(path) == 0 && !machine_read_from(&scene.roots, &machine, &p));
	CHECK_TEXT(p.code, "disk");
	/* verity data of one slot, its tree of another */
	CHECK(symlink("../../../devices/block/vda/vda7", path) == 0 && !machine_read_from(&scene.roots, &machine, &p));
	CHECK_TEXT(p.code, "disk");
	scene_done(&scene);
}

/* interrupted */

static bool act_install(void *context) {
	struct problem p;
	return try_install(context, &p);
}

/* Version 2 is there already, so that there is something to be taken away. */
static void each_step(void) {
	struct server server, next;
	struct problem p;
	server_make(&server, &two, &one);
	server_make(&next, &three, &one);
	int n = 0;
	bool killed = true;
	scene_make(&scene, &one);
	while (killed) {
		CHECK(try_install(&server, &p));
		killed = interrupted(++n, act_install, &next);
		check_safe();
		/* up to the moment when its entry goes, version 2 is whole */
		struct machine machine;
		CHECK(machine_read_from(&scene.roots, &machine, &p));
		check_entries(machine.cold.version[0] && strcmp(machine.cold.version, "2") == 0 ? &two : &three);
		machine_done(&machine);
		CHECK(try_install(&next, &p));
		check_installed(&three);
	}
	CHECK(n > 20);
	scene_done(&scene);
	server_done(&server);
	server_done(&next);
}

static void killed_at_random(void) {
	struct server server, next;
	struct problem p;
	server_make(&server, &two, &one);
	server_make(&next, &three, &one);
	scene_make(&scene, &one);
	for (int i = 0; i < 20; i++) {
		CHECK(try_install(&server, &p));
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0)
			_exit(act_install(&next) ? 0 : 1);
		const struct timespec pause = {0, i * 1000000L};
		nanosleep(&pause, NULL);
		kill(child, SIGKILL);
		CHECK(waitpid(child, NULL, 0) == child);
		check_safe();
		CHECK(try_install(&next, &p));
		check_installed(&three);
	}
	scene_done(&scene);
	server_done(&server);
	server_done(&next);
}

/* back and forth */

struct machine now;

static void look(void) {
	struct problem p;
	machine_done(&now);
	CHECK(machine_read_from(&scene.roots, &now, &p));
}

static void reinstall(const struct image *image, const struct image *old) {
	struct server server;
	struct problem p;
	server_make(&server, image, old);
	CHECK(try_install(&server, &p));
	server_done(&server);
	look();
}

static bool act_rollback(void *context) {
	struct problem p;
	(void)context;
	return rollback(&now, &p);
}

static void going_back(void) {
	struct problem p;
	scene_make(&scene, &one);
	look();
	CHECK(!pending(&now) && !rollback(&now, &p));
	CHECK_TEXT(p.code, "no-other");
	CHECK(!cancel(&now, &p));
	CHECK_TEXT(p.code, "not-pending");
	reinstall(&two, &one);
	/* what has not run is nothing to go back to */
	CHECK(!rollback(&now, &p));
	CHECK_TEXT(p.code, "no-other");
	scene_boot(&scene, &two);
	look();
	CHECK(now.hot.usr == 6 && now.cold.usr == 3 && strcmp(now.version, "2") == 0 && !pending(&now));
	for (int n = 1; interrupted(n, act_rollback, NULL); n++) {
		look();
		/* never left without a word */
		CHECK(!pending(&now) || scene_has(&scene, "2/record.json"));
	}
	look();
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi colvert_2+0.efi ");
	CHECK(pending(&now) && strcmp(pending(&now)->version, "1") == 0);
	CHECK(strstr(scene_get(&scene, "2/record.json")->data, "\"kind\": \"rolled-back\""));
	/* and on second thoughts */
	CHECK(cancel(&now, &p));
	look();
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi colvert_2.efi ");
	CHECK(!pending(&now) && !scene_has(&scene, "2"));
	/* slot A again */
	reinstall(&three, &two);
	CHECK_TEXT(scene_entries(&scene), "colvert_2.efi colvert_3+3.efi ");
	CHECK(scene_holds(&scene, "dev/vda3", &three.usr) && scene_holds(&scene, "dev/vda6", &two.usr));
	CHECK(scene_signed(&scene, "dev/vda5", &three.signature) && scene_signed(&scene, "dev/vda8", &two.signature));
	scene_done(&scene);
}

static void rollback_needs_a_whole_slot(void) {
	struct problem p;
	scene_make(&scene, &one);
	reinstall(&two, &one);
	scene_boot(&scene, &two);
	look();
	strcpy(now.cold.root_hash, three.root_hash);
	CHECK(!rollback(&now, &p));
	CHECK_TEXT(p.code, "no-other");
	look();
	now.cold.version[0] = '\0';
	CHECK(!rollback(&now, &p));
	CHECK_TEXT(p.code, "no-other");
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi colvert_2.efi ");
	scene_done(&scene);
}

/* What a cut in the rename of a blessed version can leave: two names of it, or one with nothing in it. */
static void going_back_after_a_cut(void) {
	struct problem p;
	scene_make(&scene, &one);
	reinstall(&two, &one);
	scene_boot(&scene, &two);
	scene_put(&scene, "esp/EFI/Linux/colvert_2+0.efi", two.uki.data, two.uki.size);
	scene_put(&scene, "esp/EFI/Linux/colvert_2+2-1.efi", two.uki.data, two.uki.size);
	look();
	CHECK(!pending(&now) && rollback(&now, &p));
	look();
	CHECK(pending(&now) && strcmp(pending(&now)->version, "1") == 0);
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi colvert_2+0-1.efi colvert_2+0-2.efi colvert_2+0.efi ");
	scene_done(&scene);

	scene_make(&scene, &one);
	reinstall(&two, &one);
	scene_boot(&scene, &two);
	scene_put(&scene, "esp/EFI/Linux/colvert_2.efi", "", 0);
	look();
	CHECK(pending(&now) && !cancel(&now, &p));
	CHECK_TEXT(p.code, "disk");
	CHECK(rollback(&now, &p));
	CHECK(strstr(scene_get(&scene, "2/record.json")->data, "\"kind\": \"rolled-back\""));
	scene_done(&scene);
}

static void on_trial(void) {
	struct server server;
	struct problem p;
	scene_make(&scene, &one);
	reinstall(&two, &one);
	scene_boot(&scene, &two);
	/* as the boot loader leaves it until the health check has ended */
	scene_move(&scene, "esp/EFI/Linux/colvert_2.efi", "esp/EFI/Linux/colvert_2+2-1.efi");
	server_make(&server, &three, &two);
	CHECK(!try_install(&server, &p));
	CHECK_TEXT(p.code, "not-proved");
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi colvert_2+2-1.efi ");
	CHECK(scene_holds(&scene, "dev/vda3", &one.usr));
	/* nothing is lost where the other version is on trial too, or bad */
	scene_move(&scene, "esp/EFI/Linux/colvert_1.efi", "esp/EFI/Linux/colvert_1+0-3.efi");
	CHECK(try_install(&server, &p));
	CHECK_TEXT(scene_entries(&scene), "colvert_2+2-1.efi colvert_3+3.efi ");
	server_done(&server);
	scene_done(&scene);
}

static void taken_back(void) {
	struct problem p;
	scene_make(&scene, &one);
	reinstall(&two, &one);
	CHECK(pending(&now) && cancel(&now, &p));
	look();
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi ");
	CHECK(!now.cold.version[0] && !pending(&now));
	check_safe();
	scene_done(&scene);
}

static void an_older_one(void) {
	struct problem p;
	scene_make(&scene, &three);
	reinstall(&two, &three);
	CHECK_TEXT(scene_entries(&scene), "colvert_2+3.efi colvert_3+0.efi ");
	CHECK(pending(&now) && strcmp(pending(&now)->version, "2") == 0);
	CHECK(cancel(&now, &p));
	CHECK_TEXT(scene_entries(&scene), "colvert_3.efi ");
	scene_done(&scene);
}

/* Nothing is loaded here: what follows is what the firmware's word prevents. */
static void no_jump_with_secure_boot(void) {
	struct problem p;
	scene_make(&scene, &one);
	reinstall(&two, &one);
	scene_put(&scene, "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\6\0\0\0\1", 5);
	CHECK(!reboot_machine(&now, true, &p));
	CHECK_TEXT(p.code, "no-kexec");
	CHECK(strstr(p.text, "Secure Boot"));
	CHECK_TEXT(scene_entries(&scene), "colvert_1.efi colvert_2+3.efi ");
	scene_done(&scene);
}

int main(void) {
	image_make(&one, "1", 11);
	image_make(&two, "2", 22);
	image_make(&three, "3", 33);
	by_delta();
	blessed_meanwhile();
	from_elsewhere();
	changed_uki();
	without_signature();
	for (int part = 0; part < PARTS; part++)
		for (int how = DAMAGED; how <= WRONG; how++) {
			if (part != PART_SIGNATURE)
				bad_delta(part, how);
			bad_everything(part, how);
		}
	wrong_root_hash();
	foreign_uki();
	refused("slot-too-small", large_usr);
	refused("slot-too-small", large_tree);
	refused("slot-too-small", large_signature);
	refused("esp-full", large_uki);
	refused("format", long_version);
	refused("older", same_version);
	refused("disk", no_entry);
	slots_apart();
	not_on_a_slot();
	going_back();
	rollback_needs_a_whole_slot();
	going_back_after_a_cut();
	on_trial();
	taken_back();
	an_older_one();
	no_jump_with_secure_boot();
	each_step();
	killed_at_random();
	machine_done(&now);
	image_done(&one), image_done(&two), image_done(&three);
}
