#include "efivar.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <colvert/fd.h>

#include "text.h"

#define LOADER_GUID "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define FAILURE "ColvertBootFailure-7c1e5d8e-9a55-4f0e-8f0c-5b6a2d1c3e94"

/* non-volatile, for the firmware's boot services and the running system */
static const uint32_t ATTRIBUTES = 0x7;
enum { HEAD = sizeof ATTRIBUTES, VALUE_MAX = 4096 };

int efivars_open(void) { return open(EFIVARS, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

/* The value after the attributes; its length, -1 where there is none. */
static ssize_t value(int efivars, const char *name, char *out, size_t room) {
	char whole[VALUE_MAX + HEAD];
	AUTO_FD fd = openat(efivars, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t count = read(fd, whole, sizeof whole);
	if (count < HEAD || (size_t)count - HEAD >= room)
		return -1;
	memcpy(out, whole + HEAD, (size_t)count - HEAD);
	out[count - HEAD] = '\0';
	return count - HEAD;
}

bool loader_read(int efivars, const char *name, char *out, size_t room) {
	char file[128], wide[VALUE_MAX + 1];
	if (!print(file, sizeof file, "%s-" LOADER_GUID, name))
		return false;
	ssize_t size = value(efivars, file, wide, sizeof wide);
	if (size < 0 || (size_t)size / 2 >= room)
		return false;
	size_t length = 0;
	for (ssize_t i = 0; i + 1 < size; i += 2)
		out[length++] = wide[i] || wide[i + 1] ? (wide[i + 1] ? '?' : wide[i]) : '\n';
	while (length && out[length - 1] == '\n')
		length--;
	out[length] = '\0';
	return true;
}

bool failure_read(int efivars, char *out, size_t room) { return value(efivars, FAILURE, out, room) >= 0; }

/* efivarfs protects every variable from rm; ours may be replaced. */
static void unprotect(int efivars) {
	AUTO_FD fd = openat(efivars, FAILURE, O_RDONLY | O_CLOEXEC);
	int flags;
	if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags &= ~FS_IMMUTABLE_FL;
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

bool failure_write(int efivars, const char *text) {
	char whole[HEAD + VALUE_MAX];
	size_t length = strlen(text);
	if (length > VALUE_MAX)
		return false;
	memcpy(whole, &ATTRIBUTES, HEAD);
	memcpy(whole + HEAD, text, length);
	unprotect(efivars);
	AUTO_FD fd = openat(efivars, FAILURE, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	/* one write is one change of the variable */
	return fd >= 0 && write(fd, whole, HEAD + length) == (ssize_t)(HEAD + length);
}

bool failure_delete(int efivars) {
	unprotect(efivars);
	return unlinkat(efivars, FAILURE, 0) == 0;
}
