#include "kexec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "esp.h"
#include "uki.h"

static bool copy(int from, const struct uki_section *section, int to) {
	off_t at = (off_t)section->offset;
	uint64_t left = section->size;
	while (left) {
		ssize_t count = sendfile(to, from, &at, left);
		if (count <= 0)
			return false;
		left -= (uint64_t)count;
	}
	return true;
}

/* A section as a file of its own, read-only: the kernel refuses one that somebody could still write. */
static int extract(int uki, const char *name) {
	struct uki_section section;
	char path[64];
	AUTO_FD fd = uki_find(uki, name, &section) ? memfd_create(name, MFD_CLOEXEC) : -1;
	if (fd < 0 || !copy(uki, &section, fd))
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool command_line(int uki, const char *words, char out[UKI_CMDLINE_ROOM]) {
	if (!uki_cmdline(uki, out))
		return false;
	size_t length = strlen(out);
	int added = snprintf(out + length, UKI_CMDLINE_ROOM - length, " %s", words);
	return added > 0 && (size_t)added < UKI_CMDLINE_ROOM - length;
}

/* A variable of the firmware: four bytes of attributes, then its value. */
static bool secure_boot(const struct machine *machine) {
	char path[256];
	AUTO_BLOB value = {0};
	snprintf(path, sizeof path, "%s/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", machine->roots->sys);
	return read_file(AT_FDCWD, path, 16, &value) == 0 && value.size == 5 && value.data[4] == 1;
}

/* What the stub would add on an EFI boot (credentials and extensions from the ESP) is not there. */
bool kexec_load_entry(const struct machine *machine, const struct entry *entry, const char *words, struct problem *p) {
	char line[UKI_CMDLINE_ROOM];
	/* the signature is the UKI's, and the kernel would not look at it */
	if (secure_boot(machine))
		return fail(p, "no-kexec", "Secure Boot is on: only the firmware starts what it has checked.");
	AUTO_FD uki = esp_open(machine->esp, entry->name, p);
	AUTO_FD kernel = uki < 0 ? -1 : extract(uki, ".linux");
	AUTO_FD initrd = uki < 0 ? -1 : extract(uki, ".initrd");
	if (kernel < 0 || initrd < 0 || !command_line(uki, words, line))
		return fail(p, "no-kexec", "The boot entry %s has no kernel that could be taken out.", entry->name);
	/* ENOSYS: not built in. EPERM: forbidden (lockdown, kernel.kexec_load_disabled). EKEYREJECTED: wants a signature. */
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0UL) != 0)
		return fail(p, "no-kexec", "The kernel does not take over by kexec: %s.", strerror(errno));
	return true;
}

void kexec_unload(void) { syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, (unsigned long)KEXEC_FILE_UNLOAD); }
