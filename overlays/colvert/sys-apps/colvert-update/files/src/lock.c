#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK "run/colvert/update.lock"

static bool take(int fd, unsigned patience) {
	for (unsigned waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited++) {
		if (waited >= patience)
			return false;
		sleep(1);
	}
	return true;
}

int lock_take(int root, unsigned patience, struct problem *p) {
	make_parents(root, LOCK, 0755);
	AUTO_FD fd = openat(root, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		fail(p, "disk", "/" LOCK " cannot be opened: %s. Run as root.", strerror(errno));
		return -1;
	}
	if (!take(fd, patience)) {
		fail(p, "busy", "Another colvert-update is at work. Wait for it, or look with `systemctl status colvert-update`.");
		return -1;
	}
	int taken = fd;
	fd = -1;
	return taken;
}
