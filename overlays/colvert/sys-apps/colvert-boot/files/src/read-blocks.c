/* Reads every block of the file system below a path, past the cache and no faster than told: what dm-verity finds
 * wrong shows now. usage: read-blocks PATH MIB_A_SECOND */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <colvert/fd.h>

#include "text.h"

enum { CHUNK = 1 << 20, BLOCK = 4096 };

/* The device's node by the kernel's own name for it, which no rule of udev can take away. */
static bool device_of(const char *path, char *out, size_t room) {
	struct stat info;
	char link[64], name[PATH_ROOM];
	if (stat(path, &info) < 0 ||
	    !print(link, sizeof link, "/sys/dev/block/%u:%u", major(info.st_dev), minor(info.st_dev)))
		return false;
	ssize_t length = readlink(link, name, sizeof name - 1);
	if (length < 0)
		return false;
	name[length] = '\0';
	const char *slash = strrchr(name, '/');
	return print(out, room, "/dev/%s", slash ? slash + 1 : name);
}

static int64_t nanoseconds(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void wait_until(int64_t when) {
	struct timespec at = {.tv_sec = when / 1000000000, .tv_nsec = when % 1000000000};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* Reads it all; false with errno and the place where it stopped. */
static bool read_all(int fd, uint64_t size, uint64_t rate, char *buffer, uint64_t *at) {
	int64_t begin = nanoseconds();
	for (*at = 0; *at < size;) {
		uint64_t left = size - *at;
		ssize_t count = pread(fd, buffer, left < CHUNK ? left : CHUNK, (off_t)*at);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			errno = count ? errno : EIO;
			return false;
		}
		*at += (uint64_t)count;
		wait_until(begin + (int64_t)((double)*at / (double)rate * 1e9));
	}
	return true;
}

int main(int argc, char **argv) {
	char device[PATH_ROOM];
	uint64_t size, at, rate = argc == 3 ? strtoull(argv[2], NULL, 10) << 20 : 0;
	if (!rate) {
		fputs("usage: read-blocks PATH MIB_A_SECOND\n", stderr);
		return 2;
	}
	if (!device_of(argv[1], device, sizeof device)) {
		printf("the device of %s is not known: %s\n", argv[1], strerror(errno));
		return 1;
	}
	char *buffer = aligned_alloc(BLOCK, CHUNK);
	AUTO_FD fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (!buffer || fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0) {
		printf("%s cannot be opened: %s\n", device, strerror(errno));
		return 1;
	}
	if (!read_all(fd, size, rate, buffer, &at)) {
		printf("%s cannot be read at byte %llu of %llu: %s\n", device, (unsigned long long)at,
		       (unsigned long long)size, strerror(errno));
		return 1;
	}
	fprintf(stderr, "%s: all of its %llu bytes can be read.\n", device, (unsigned long long)size);
	return 0;
}
