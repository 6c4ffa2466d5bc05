#include "manager.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <colvert/say.h>

extern char **environ;

static bool run(const char *const argv[]) {
	pid_t pid;
	int status;
	if (posix_spawn(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) != 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void manager_call(const struct target *target, const char *verb, const char *unit) {
	if (!target->live) {
		char line[128];
		snprintf(line, sizeof line, "%s %s", verb, unit ? unit : "");
		append_line(target->dir, "run/manager", line);
		return;
	}
	/* jobs are left to the manager: what waits for a target would wait for ourselves */
	bool wait = unit && strcmp(unit, "colvert-provision-credentials.service") == 0;
	const char *argv[6] = {"/usr/bin/systemctl", "--quiet", verb, unit};
	if (unit && !wait)
		argv[4] = "--no-block";
	if (!run(argv))
		say(LEVEL_WARNING, "systemctl %s %s failed.", verb, unit ? unit : "");
}
