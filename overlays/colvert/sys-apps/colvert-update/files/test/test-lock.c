#include "lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <colvert/check.h>

static struct problem p;

/* Another process holds the lock for so many seconds from now on. */
static pid_t held_for(int root, unsigned seconds) {
	int ready[2];
	char byte;
	CHECK(pipe(ready) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		AUTO_FD lock = lock_take(root, 0, &p);
		CHECK(lock >= 0 && write(ready[1], "", 1) == 1);
		sleep(seconds);
		_exit(0);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	return child;
}

static void busy(int root) {
	pid_t child = held_for(root, 60);
	CHECK(lock_take(root, 0, &p) < 0);
	CHECK_TEXT(p.code, "busy");
	time_t begun = time(NULL);
	p.code = "";
	CHECK(lock_take(root, 2, &p) < 0);
	CHECK_TEXT(p.code, "busy");
	CHECK(time(NULL) - begun >= 1);
	CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	/* nothing is left of who is gone */
	AUTO_FD lock = lock_take(root, 0, &p);
	CHECK(lock >= 0);
}

static void waits(int root) {
	pid_t child = held_for(root, 2);
	AUTO_FD lock = lock_take(root, 60, &p);
	CHECK(lock >= 0);
	CHECK(waitpid(child, NULL, 0) == child);
}

int main(void) {
	char place[] = "/tmp/test-lock-XXXXXX", command[64];
	CHECK(mkdtemp(place));
	AUTO_FD root = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(root >= 0);
	busy(root);
	waits(root);
	snprintf(command, sizeof command, "rm -r %s", place);
	CHECK(system(command) == 0);
}
