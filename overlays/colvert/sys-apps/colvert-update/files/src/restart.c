#include "restart.h"

#include <stdio.h>
#include <string.h>

#include "install.h"
#include "run.h"

#define UNIT "colvert-update-restart"

/* A timer of the service manager that takes one moment of the window. It runs colvert-update again, which looks
 * whether there is still something to restart into. */
static bool schedule(const struct settings *settings, struct problem *p) {
	char calendar[160], spread[96];
	const char *const asked[] = {"systemctl", "is-active", "--quiet", UNIT ".timer", NULL};
	const char *const words[] = {
	    "systemd-run", "--quiet", "--collect", "--unit=" UNIT, calendar, spread, "--timer-property=AccuracySec=1s",
	    "--description=Restart into the Release That Is Installed", "/usr/bin/colvert-update", "restart", NULL,
	};
	if (run(asked) == 0)
		return true;
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
		return schedule(settings, &context->end);
	return policy == REBOOT_NEVER || restart_now(machine, settings, &context->end);
}

void restart_forget(const struct context *context) {
	const char *const asked[] = {"systemctl", "is-active", "--quiet", UNIT ".timer", NULL};
	const char *const words[] = {"systemctl", "stop", UNIT ".timer", NULL};
	if (context->live && run(asked) == 0)
		run(words);
}
