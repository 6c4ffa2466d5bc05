#include "commands.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "defaults.h"
#include "facts.h"
#include "install.h"
#include "lock.h"
#include "offered.h"
#include "restart.h"
#include "run.h"
#include "state.h"

#define DOWNLOAD UPDATE_STATE "/download"

/* Seconds that a planned restart waits for another colvert-update. */
enum { RESTART_PATIENCE = 10 * 60 };

bool done(struct context *context, const char *code, const char *format, ...) {
	va_list words;
	context->end.code = code;
	va_start(words, format);
	vsnprintf(context->end.text, sizeof context->end.text, format, words);
	va_end(words);
	return true;
}

/* The disk, where this is a machine that has slots to look at. */
static bool read_machine(struct context *context, struct machine *machine, const struct machine **out) {
	*out = NULL;
	if (!context->live)
		return true;
	*out = machine;
	return machine_read(machine, &context->end);
}

static bool needs_slots(struct context *context) {
	return context->live || fail(&context->end, "usage", "With --root there are no slots: this command needs a machine.");
}

/* Wrong words are for whoever said them; the timer's are right, so there it is a wrong line of the settings. */
static bool is_for_state(const struct context *context) {
	const char *code = context->end.code;
	return strcmp(code, "busy") != 0 && strcmp(code, "no-source") != 0 &&
	       (context->options.automatic || strcmp(code, "usage") != 0);
}

/* The state is told of a check by whoever may write it. What was asked for is done or not, whether or not that can be
 * noted: a release that is installed has not failed because a disk is full now. */
static bool noted(struct context *context, bool good, const char *found) {
	struct state state;
	struct problem unwritten;
	if (geteuid() != 0 || !(good || is_for_state(context)))
		return good;
	state_read(context->root, &state);
	state_note(&state, good ? NULL : &context->end, found, (uint64_t)time(NULL));
	if (!state_write(context->root, &state, &unwritten))
		fprintf(stderr, "colvert-update: %s `status` will not know of this.\n", unwritten.text);
	return good;
}

/* check */

static bool look(struct context *context, struct offered *offered) {
	AUTO(struct machine, machine_done) machine = {0};
	const struct machine *there;
	if (!read_machine(context, &machine, &there) || !offered_read(context, there, offered))
		return false;
	const char *version = offered->release.version;
	switch (offered_judge(context, offered)) {
	case VERDICT_RUNNING:
		return done(context, "running", "Release %s runs; there is nothing newer.", version);
	case VERDICT_PENDING:
		return done(context, "pending", "Release %s is installed; the next restart takes it.", version);
	case VERDICT_TAKE:
		return done(context, "available", "Release %s can be installed: `colvert-update update`.", version);
	default:
		return false;
	}
}

bool command_check(struct context *context) {
	AUTO(struct offered, offered_done) offered = {0};
	bool good = look(context, &offered);
	return noted(context, good, offered.release.version);
}

/* update */

struct obtaining {
	const struct offered *offered;
	int dir;
};

static int obtain(void *context, const struct way *way, struct problem *p) {
	const struct obtaining *obtaining = context;
	const struct offered *offered = obtaining->offered;
	return fetch_file(&offered->fetch, offered->offer.base, way, obtaining->dir, p);
}

static bool belongs(const struct release *release, const char *name) {
	for (int i = 0; release && i < PARTS; i++)
		for (size_t k = 0; k < release->parts[i].count; k++)
			if (starts_with(name, release->parts[i].ways[k].name))
				return true;
	return false;
}

/* Removes all downloads that the release (NULL: none) has no use for. */
static void prune(int root, const struct release *release) {
	int fd = openat(root, DOWNLOAD, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *item; dir && (item = readdir(dir));)
		if (item->d_name[0] != '.' && !belongs(release, item->d_name))
			unlinkat(dirfd(dir), item->d_name, 0);
	if (dir)
		closedir(dir);
}

static int open_downloads(int root, struct problem *p) {
	int error = make_parents(root, DOWNLOAD "/x", 0755);
	int fd = error ? -1 : openat(root, DOWNLOAD, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail(p, "disk", "/" DOWNLOAD " cannot be opened: %s.", strerror(error ? -error : errno));
	return fd;
}

static bool put(struct context *context, const struct machine *machine, const struct offered *offered) {
	AUTO_FD dir = open_downloads(context->root, &context->end);
	if (dir < 0)
		return false;
	struct obtaining obtaining = {offered, dir};
	prune(context->root, &offered->release);
	if (!install(machine, &offered->release, obtain, &obtaining, &context->end))
		return false;
	prune(context->root, NULL);
	return true;
}

static bool restart_into(struct context *context, const struct offered *offered) {
	AUTO(struct machine, machine_done) machine = {0};
	const char *what;
	if (!machine_read(&machine, &context->end) ||
	    !restart_by_policy(context, &machine, &offered->settings, context->options.reboot, &what))
		return false;
	return done(context, "pending", "Release %s is installed; %s.", offered->release.version, what);
}

static bool update(struct context *context, struct offered *offered) {
	AUTO(struct machine, machine_done) machine = {0};
	if (!machine_read(&machine, &context->end) || !offered_read(context, &machine, offered))
		return false;
	switch (offered_judge(context, offered)) {
	case VERDICT_RUNNING:
		return done(context, "running", "Release %s runs; there is nothing to do.", offered->release.version);
	case VERDICT_PENDING:
		return restart_into(context, offered);
	case VERDICT_TAKE:
		return put(context, &machine, offered) && restart_into(context, offered);
	default:
		return false;
	}
}

/* Whether the timer's call has nothing to do; then `context` says so. */
static bool rests(struct context *context) {
	struct settings settings;
	struct state state;
	struct problem ignored;
	state_read(context->root, &state);
	if (settings_read(context->root, &settings, &ignored) && !settings.source[0] && !context->options.from)
		return done(context, "no-source", "No source of releases is configured; there is nothing to do.");
	if (!state_due(&state, (uint64_t)time(NULL)))
		return done(context, "later", "The last %u checks failed; the next one is due later.", state.errors);
	return false;
}

bool command_update(struct context *context) {
	AUTO(struct offered, offered_done) offered = {0};
	if (context->options.automatic && rests(context))
		return true;
	if (!needs_slots(context))
		return false;
	AUTO_FD lock = lock_take(context->root, 0, &context->end);
	return lock >= 0 && noted(context, update(context, &offered), offered.release.version);
}

/* download */

static bool save(struct context *context, int dir, const struct offered *offered) {
	const struct blob *envelope = &offered->offer.envelope;
	char name[64];
	snprintf(name, sizeof name, "%s.json", offered->release.version);
	int error = write_file(dir, name, envelope->data, envelope->size, 0644);
	if (error == 0)
		error = write_file(dir, "index.json", envelope->data, envelope->size, 0644);
	return error == 0 || fail(&context->end, "disk", "The index cannot be written: %s.", strerror(-error));
}

static bool fetch_whole(struct context *context, int dir, const struct offered *offered) {
	for (int i = 0; i < PARTS; i++) {
		const struct part *part = &offered->release.parts[i];
		for (size_t k = 0; k < part->count; k++) {
			if (part->ways[k].delta)
				continue;
			AUTO_FD fd = fetch_file(&offered->fetch, offered->offer.base, &part->ways[k], dir, &context->end);
			if (fd < 0)
				return false;
			fchmod(fd, 0644);
		}
	}
	return true;
}

bool command_download(struct context *context) {
	AUTO(struct offered, offered_done) offered = {0};
	const char *into = context->options.into;
	if (!into)
		return fail(&context->end, "usage", "download needs --into DIRECTORY.");
	AUTO_FD dir = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return fail(&context->end, "usage", "--into %s: %s.", into, strerror(errno));
	if (!offered_read(context, NULL, &offered) ||
	    !rules_fit(&offered.release, &offered.facts, &offered.wishes, (uint64_t)time(NULL), &context->end))
		return false;
	if (offered.offer.base[0] == '/')
		return fail(&context->end, "usage", "The source is a directory already: copy it.");
	/* the index last: a directory that has one is whole */
	if (!fetch_whole(context, dir, &offered) || !save(context, dir, &offered))
		return false;
	return done(context, "done", "Release %s is in %s: `colvert-update update --from DIRECTORY` takes it from there.",
	            offered.release.version, into);
}

/* rollback, cancel, restart */

bool command_rollback(struct context *context) {
	AUTO(struct machine, machine_done) machine = {0};
	AUTO(struct machine, machine_done) after = {0};
	struct settings settings;
	const char *what;
	if (!needs_slots(context) || !settings_read(context->root, &settings, &context->end))
		return false;
	AUTO_FD lock = lock_take(context->root, 0, &context->end);
	if (lock < 0 || !machine_read(&machine, &context->end) || !rollback(&machine, &context->end) ||
	    !machine_read(&after, &context->end))
		return false;
	const struct entry *next = pending(&after);
	if (!restart_by_policy(context, &after, &settings, context->options.reboot, &what))
		return false;
	return done(context, "pending", "The machine goes back to release %s: %s.", next ? next->version : "of the other slot",
	            what);
}

bool command_cancel(struct context *context) {
	AUTO(struct machine, machine_done) machine = {0};
	if (!needs_slots(context))
		return false;
	AUTO_FD lock = lock_take(context->root, 0, &context->end);
	if (lock < 0 || !machine_read(&machine, &context->end))
		return false;
	prune(context->root, NULL);
	if (!cancel(&machine, &context->end))
		return false;
	restart_forget(context);
	return done(context, "done", "What was installed is forgotten; release %s stays. The timer takes the newest release "
	            "again: `systemctl stop colvert-update.timer` keeps it from that until the next boot.", machine.version);
}

/* Whether the policy is no longer the one that the window's call was planned by; then `context` says so. */
static bool is_off(struct context *context, const struct settings *settings) {
	if (settings->reboot == REBOOT_NEVER)
		return done(context, "pending", "REBOOT= has become `never`: the next restart takes what is installed.");
	if (settings->reboot == REBOOT_WINDOW && !restart_in_window(context, settings))
		return done(context, "pending", "The window has become another one: the next check plans the restart for it.");
	return false;
}

bool command_restart(struct context *context) {
	AUTO(struct machine, machine_done) machine = {0};
	struct settings settings;
	if (!needs_slots(context))
		return false;
	/* the window comes once, and a look for a release at that moment takes seconds */
	AUTO_FD lock = lock_take(context->root, context->options.automatic ? RESTART_PATIENCE : 0, &context->end);
	if (lock < 0 || !settings_read(context->root, &settings, &context->end) || !machine_read(&machine, &context->end))
		return false;
	if (!pending(&machine))
		return done(context, "running", "Nothing waits for a restart.");
	if (context->options.automatic && is_off(context, &settings))
		return true;
	return restart_now(&machine, &settings, &context->end) && done(context, "pending", "Restarting.");
}

/* defaults, booted */

static void add_change(void *list, enum change change, const char *path, bool hidden) {
	static const char *const words[] = {"added", "removed", "changed"};
	struct json_object *item = json_object_new_object();
	json_object_object_add(item, "path", json_object_new_string(path));
	json_object_object_add(item, "change", json_object_new_string(words[change]));
	json_object_object_add(item, "hidden", json_object_new_boolean(hidden));
	json_object_array_add(list, item);
}

bool command_defaults(struct context *context) {
	struct facts facts;
	char before[40];
	const char *from = context->options.from ? context->options.from : before;
	struct json_object *list = json_object_new_array();
	json_object_object_add(context->report, "defaults", list);
	if (!facts_read(context->root, NULL, &facts, &context->end))
		return false;
	if (from == before && !defaults_before(context->root, facts.version, before))
		return done(context, "done", "No other version than %s has booted here.", facts.version);
	if (!defaults_compare(context->root, from, facts.version, add_change, list, &context->end))
		return false;
	json_object_object_add(context->report, "from", json_object_new_string(from));
	json_object_object_add(context->report, "to", json_object_new_string(facts.version));
	return done(context, "done", "%zu defaults differ between %s and %s.", json_object_array_length(list), from,
	            facts.version);
}

bool command_booted(struct context *context) {
	static const char *const timer[] = {"systemctl", "start", "--no-block", "colvert-update.timer", NULL};
	struct facts facts;
	struct settings settings;
	struct problem wrong;
	bool clear = settings_read(context->root, &settings, &wrong);
	/* whatever else fails; and also where no source can be read: the state is told of that by the timer's call */
	if (context->live && (!clear || settings.source[0]))
		run(timer);
	if (!facts_read(context->root, NULL, &facts, &context->end) ||
	    !defaults_record(context->root, facts.version, &context->end))
		return false;
	if (!clear)
		return fail(&context->end, wrong.code, "%s", wrong.text);
	return done(context, "done", "The defaults of version %s are recorded.", facts.version);
}
