#include "restart.h"

#include <stdio.h>
#include <string.h>

#include "install.h"
#include "run.h"

#define UNIT "colvert-update-restart"
/* The window that the timer was made for; a restart of the machine forgets both. */
#define PLAN "run/colvert/update.window"

enum { PLAN_MAX = 256 };

static bool is_planned(void) {
	static const char *const asked[] = {"systemctl", "is-active", "--quiet", UNIT ".timer", NULL};
	return run(asked) == 0;
}

static void describe(const struct settings *settings, char out[PLAN_MAX]) {
	snprintf(out, PLAN_MAX, "%s\n%s\n", settings->window_start, settings->window_length);
}

bool restart_in_window(const struct context *context, const struct settings *settings) {
	AUTO_BLOB have = {0};
	char want[PLAN_MAX];
	describe(settings, want);
	return read_file(context->root, PLAN, PLAN_MAX, &have) == 0 && have.size == strlen(want) &&
	       memcmp(have.data, want, have.size) == 0;
}

static bool keep_plan(const struct context *context, const struct settings *settings, struct problem *p) {
	char text[PLAN_MAX];
	describe(settings, text);
	int error = write_file(context->root, PLAN, text, strlen(text), 0644);
	return error == 0 || fail(p, "disk", "/" PLAN " cannot be written: %s.", strerror(-error));
}

/* A timer of the service manager that takes one moment of the window. It runs colvert-update again, which looks
 * whether there is still something to restart into, and whether it is still wanted. */
static bool schedule(const struct context *context, const struct settings *settings, struct problem *p) {
	char calendar[160], spread[96];
	const char *const words[] = {
	    "systemd-run", "--quiet", "--collect", "--unit=" UNIT, calendar, spread, "--timer-property=AccuracySec=1s",
	    "--description=Restart into the Release That Is Installed", "/usr/bin/colvert-update", "--automatic", "restart",
	    NULL,
	};
	/* the moment stays the one that was drawn, or one drawn while the window is open would be in the next */
	if (restart_in_window(context, settings) && is_planned())
		return true;
	restart_forget(context);
	if (!keep_plan(context, settings, p))
		return false;
	snprintf(calendar, sizeof calendar, "--on-calendar=%s", settings->window_start);
	snprintf(spread, sizeof spread, "--timer-property=RandomizedDelaySec=%s", settings->window_length);
	return run(words) == 0 || fail(p, "usage", "The restart cannot be scheduled: systemd-run does not take WINDOW_START=%s "
	                               "and WINDOW_LENGTH=%s. Correct them in /etc/colvert/update.conf.",
	                               settings->window_start, settings->window_length);
}

/* Where the firmware cannot be left out it is not: a restart that takes longer is better than none. */
bool restart_now(const struct machine *machine, const struct settings *settings, struct problem *p) {
	if (settings->kexec) {
		if (reboot_machine(machine, true, p))
			return true;
		if (strcmp(p->code, "no-kexec") != 0)
			return false;
		fprintf(stderr, "colvert-update: %s Restarting by the firmware.\n", p->text);
	}
	return reboot_machine(machine, false, p);
}

bool restart_by_policy(
    struct context *context, const struct machine *machine, const struct settings *settings, bool at_once,
    const char **what) {
	enum reboot policy = at_once ? REBOOT_NOW : context->options.automatic ? settings->reboot : REBOOT_NEVER;
	static const char *const words[] = {
	    [REBOOT_NEVER] = "the next restart takes it",
	    [REBOOT_NOW] = "restarting",
	    [REBOOT_WINDOW] = "the machine restarts in its window",
	};
	*what = words[policy];
	if (policy == REBOOT_WINDOW)
		return schedule(context, settings, &context->end);
	/* by hand nothing is planned, and nothing forgotten */
	if (context->options.automatic)
		restart_forget(context);
	return policy == REBOOT_NEVER || restart_now(machine, settings, &context->end);
}

void restart_forget(const struct context *context) {
	static const char *const words[] = {"systemctl", "stop", UNIT ".timer", NULL};
	if (context->live && is_planned())
		run(words);
}
