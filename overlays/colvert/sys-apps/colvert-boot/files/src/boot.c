#include "boot.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "efivar.h"
#include "text.h"

static void boot_id(char *out, size_t room) {
	char text[64] = "";
	read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof text);
	size_t length = 0;
	/* as the journal writes it: without dashes */
	for (const char *c = text; *c && *c != '\n' && length + 1 < room; c++)
		if (*c != '-')
			out[length++] = *c;
	out[length] = '\0';
}

/* The system itself says it; the initrd may be that of several versions, so there the entry does. */
static bool version_of_system(char *out, size_t room) {
	char release[4096], quoted[64];
	if (faccessat(AT_FDCWD, "/etc/initrd-release", F_OK, 0) == 0 ||
	    !read_text(AT_FDCWD, "/usr/lib/os-release", release, sizeof release) ||
	    !find_word(release, "IMAGE_VERSION", quoted, sizeof quoted))
		return false;
	const char *value = quoted + (quoted[0] == '"');
	return print(out, room, "%.*s", (int)strcspn(value, "\""), value);
}

bool boot_read(int efivars, struct boot *out) {
	char words[4096] = "", path[512];
	*out = (struct boot){0};
	boot_id(out->id, sizeof out->id);
	read_text(AT_FDCWD, "/proc/cmdline", words, sizeof words);
	/* what the loader said is of the boot before the kexec */
	out->kexec = find_word(words, "colvert.entry", out->entry_name, sizeof out->entry_name);
	if (!out->kexec && !loader_read(efivars, "LoaderEntrySelected", out->entry_name, sizeof out->entry_name))
		out->entry_name[0] = '\0';
	out->counted = out->kexec || loader_read(efivars, "LoaderBootCountPath", path, sizeof path);
	entry_parse(out->entry_name, &out->entry);
	version_of_system(out->entry.version, sizeof out->entry.version);
	return out->entry.version[0] && out->id[0];
}

struct note boot_note(const struct boot *boot) {
	struct note note = {.when = (long long)time(NULL)};
	memcpy(note.version, boot->entry.version, sizeof note.version);
	memcpy(note.boot, boot->id, sizeof note.boot);
	return note;
}
