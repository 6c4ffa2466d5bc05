#include <colvert/fd.h>

#include <errno.h>
#include <unistd.h>

void close_done(int *fd) {
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int write_all(int fd, const void *from, size_t size) {
	const char *data = from;
	while (size) {
		ssize_t count = write(fd, data, size);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		data += count;
		size -= (size_t)count;
	}
	return 0;
}
