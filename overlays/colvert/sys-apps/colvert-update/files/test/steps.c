#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <colvert/check.h>

enum { KILLED = 99 };
static int steps_left;

static void step(void) {
	if (steps_left > 0 && --steps_left == 0)
		_exit(KILLED);
}

int fsync(int fd) {
	(void)fd;
	step();
	return 0;
}
int fdatasync(int fd) {
	(void)fd;
	step();
	return 0;
}
int syncfs(int fd) {
	(void)fd;
	step();
	return 0;
}
ssize_t write(int fd, const void *data, size_t size) {
	step();
	return syscall(SYS_write, fd, data, size);
}
int renameat(int from, const char *old, int to, const char *new) {
	step();
	return (int)syscall(SYS_renameat, from, old, to, new);
}
int unlinkat(int dir, const char *name, int flags) {
	step();
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}
int posix_fallocate(int fd, off_t at, off_t size) {
	step();
	return syscall(SYS_fallocate, fd, 0, at, size) == 0 ? 0 : errno;
}

bool interrupted(int n, bool (*act)(void *), void *context) {
	int status;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		steps_left = n;
		_exit(act(context) ? 0 : 1);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED);
	return WEXITSTATUS(status) == KILLED;
}
