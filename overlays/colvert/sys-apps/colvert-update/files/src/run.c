#include "run.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int run(const char *const words[]) {
	pid_t child;
	int status;
	/* posix_spawnp does not change the words; its type is older than const */
	int error = posix_spawnp(&child, words[0], NULL, NULL, (char *const *)words, environ);
	if (error)
		return -error;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
