#include "apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <colvert/say.h>

#include "bounds.h"
#include "manager.h"
#include "names.h"
#include "userdata.h"

#define STATE "var/lib/colvert/provision/"
#define KEYS "root/.ssh/authorized_keys.d/provision"
#define VAGRANT_KEYS "root/.ssh/authorized_keys"
#define HOST_NAME "etc/hostname"
#define SCRIPT STATE "script"

enum { PATH_LENGTH = 640, LIST_MAX = 1 << 20 };

/* Puts a file in place and remembers that it is ours. Remembered first: what is listed and
 * missing does no harm, what is there and not listed would stay with the next instance. */
static int place(const struct target *target, const char *path, const void *data, size_t size, mode_t mode) {
	int status = append_line(target->dir, STATE "files", path);
	if (status == 0)
		status = write_file(target->dir, path, data, size, mode);
	if (status < 0)
		say(LEVEL_WARNING, "/%s cannot be written: %s.", path, strerror(-status));
	return status;
}

static bool exists(const struct target *target, const char *path) {
	return faccessat(target->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Removes what an earlier instance of this disk was given. */
static void forget(const struct target *target) {
	AUTO_BLOB list = {0};
	if (read_file(target->dir, STATE "files", LIST_MAX, &list) == 0) {
		char *rest = list.data, *path;
		while ((path = strsep(&rest, "\n")))
			if (path[0] && path[0] != '/' && !strstr(path, ".."))
				unlinkat(target->dir, path, 0);
	}
	unlinkat(target->dir, STATE "files", 0);
	unlinkat(target->dir, SCRIPT, 0);
	unlinkat(target->dir, STATE "instance-id", 0);
}

static void apply_keys(const struct target *target, const struct answer *answer) {
	const char *path = answer->vagrant ? VAGRANT_KEYS : KEYS;
	if (!answer->keys.size)
		return;
	/* Vagrant replaces its well-known key in this file by one of its own */
	if (answer->vagrant && exists(target, path))
		return;
	make_parents(target->dir, path, 0700);
	if (place(target, path, answer->keys.data, answer->keys.size, 0600) == 0)
		say(LEVEL_INFO, "%u ssh keys of the platform let root in.", answer->tally.taken);
}

static bool host_name_set(const struct target *target) {
	AUTO_BLOB name = {0};
	int status = read_file(target->dir, HOST_NAME, 4096, &name);
	blob_trim(&name);
	return status == 0 ? name.size > 0 : status != -ENOENT;
}

static void apply_host_name(const struct target *target, const char *name) {
	char line[HOST_NAME_LENGTH + 2];
	if (!name[0] || host_name_set(target))
		return;
	int length = snprintf(line, sizeof line, "%s\n", name);
	if (place(target, HOST_NAME, line, (size_t)length, 0644) < 0)
		return;
	if (target->live && sethostname(name, strlen(name)) < 0)
		say(LEVEL_WARNING, "The host name takes effect with the next boot: %s.", strerror(errno));
	say(LEVEL_INFO, "The host name is %s.", name);
}

/* user data */

/* What the user data gave, and what is to be started for it. */
struct work {
	char host_name[HOST_NAME_LENGTH + 1];
	bool credentials, units, script;
};

struct placing {
	const struct target *target;
	char host_name[HOST_NAME_LENGTH + 1];
	unsigned credentials, units, skipped;
};

static void place_credential(void *context, const struct credential *credential) {
	struct placing *placing = context;
	char path[PATH_LENGTH];
	enum place where;
	if (!credential_path(credential->name, credential->encrypted, &where, path, sizeof path)) {
		placing->skipped++;
		return;
	}
	if (exists(placing->target, path)) {
		say(LEVEL_NOTICE, "/%s is there already and stays as it is.", path);
		return;
	}
	bool unit = where == PLACE_UNIT;
	make_parents(placing->target->dir, path, unit ? 0755 : 0700);
	if (place(placing->target, path, credential->data, credential->size, unit ? 0644 : 0600) < 0)
		return;
	*(unit ? &placing->units : &placing->credentials) += 1;
	bool named = strcmp(credential->name, "firstboot.hostname") == 0 ||
	             strcmp(credential->name, "system.hostname") == 0;
	if (named && !credential->encrypted)
		host_name_accept(credential->data, credential->size, placing->host_name);
}

static void apply_credentials(const struct target *target, const struct blob *data, struct work *work) {
	struct placing placing = {.target = target};
	unsigned refused = 0;
	if (!user_data_credentials(data->data, data->size, place_credential, &placing, &refused)) {
		say(LEVEL_WARNING, "The user data looks like JSON and cannot be read as that: %zu bytes.", data->size);
		return;
	}
	if (refused + placing.skipped)
		say(LEVEL_WARNING, "%u credentials of the user data are refused.", refused + placing.skipped);
	say(LEVEL_INFO, "User data: %u credentials, %u unit files.", placing.credentials, placing.units);
	if (placing.host_name[0])
		strcpy(work->host_name, placing.host_name);
	work->credentials = placing.credentials;
	work->units = placing.units;
}

static void apply_script(const struct target *target, const struct blob *data, struct work *work) {
	int status = write_file(target->dir, SCRIPT, data->data, data->size, 0700);
	work->script = status == 0;
	if (status < 0)
		say(LEVEL_WARNING, "The script of the user data cannot be kept: %s.", strerror(-status));
	else
		say(LEVEL_INFO, "The user data is a script of %zu bytes; it is started.", data->size);
}

static void apply_user_data(const struct target *target, const struct blob *data, struct work *work) {
	enum user_data form = data->size ? user_data_form(data->data, data->size) : USER_DATA_NONE;
	if (form == USER_DATA_SCRIPT)
		apply_script(target, data, work);
	else if (form == USER_DATA_CREDENTIALS)
		apply_credentials(target, data, work);
	else if (form == USER_DATA_UNKNOWN)
		say(LEVEL_WARNING, "User data of unknown form: %zu bytes. They are left alone.", data->size);
}

static void start(const struct target *target, const struct work *work) {
	if (work->units)
		manager_call(target, "daemon-reload", NULL);
	if (work->credentials)
		manager_call(target, "start", "colvert-provision-credentials.service");
	/* what a new unit or drop-in adds to the target */
	if (work->units)
		manager_call(target, "start", "multi-user.target");
	if (work->script)
		manager_call(target, "start", "colvert-provision-script.service");
}

/* state */

/* An id for machines whose platform has none: the firmware's, else the one made at first boot. */
static void own_id(const struct target *target, char out[ID_MAX + 1]) {
	static const char *const sources[] = {"sys/class/dmi/id/product_uuid", "etc/machine-id"};
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
		AUTO_BLOB id = {0};
		if (read_file(target->dir, sources[i], ID_MAX, &id) == 0 && id.size >= 32 &&
		    strspn(id.data, "0-\n") != id.size && instance_id_accept(id.data, id.size, out))
			return;
	}
	strcpy(out, "unknown");
}

static bool applied_before(const struct target *target, const char *id) {
	AUTO_BLOB known = {0};
	if (read_file(target->dir, STATE "instance-id", ID_MAX + 1, &known) < 0)
		return false;
	blob_trim(&known);
	return strcmp(known.data, id) == 0;
}

static int remember(const struct target *target, const char *id) {
	char line[ID_MAX + 2];
	int length = snprintf(line, sizeof line, "%s\n", id);
	return write_file(target->dir, STATE "instance-id", line, (size_t)length, 0644);
}

int apply(const struct target *target, const struct answer *answer) {
	char id[ID_MAX + 1];
	struct work work = {0};
	strcpy(id, answer->id);
	strcpy(work.host_name, answer->host_name);
	if (!id[0])
		own_id(target, id);
	if (applied_before(target, id))
		return 0;
	int status = make_parents(target->dir, STATE, 0755);
	if (status < 0)
		return status;
	forget(target);
	apply_keys(target, answer);
	/* user data only when all is known: what an incomplete run did is done again at the next boot */
	if (answer->complete)
		apply_user_data(target, &answer->user_data, &work);
	apply_host_name(target, work.host_name);
	if (!answer->complete)
		return 0;
	/* before anything starts: a script that restarts the machine must not start again */
	status = remember(target, id);
	if (status == 0)
		start(target, &work);
	return status;
}
