/* The way into the next boot. */
#include <stdio.h>
#include <string.h>

#include "esp.h"
#include "install.h"
#include "kexec.h"
#include "run.h"

/* The name that the boot loader would give the entry when it starts it. */
static bool counted(const struct machine *machine, const struct entry *entry, char out[128]) {
	if (entry->left < 0)
		return copy_text(out, 128, entry->name);
	int left = entry->left > 0 ? entry->left - 1 : 0, done = entry->done > 0 ? entry->done + 1 : 1;
	return entry_name(machine->image_id, entry->version, left, done, out);
}

/* systemctl asks for the kexec program only where no kernel is loaded yet. */
static bool jump(const struct machine *machine, const struct entry *entry, const char *name, struct problem *p) {
	static const char *const words[] = {"systemctl", "kexec", NULL};
	struct problem unused;
	if (!esp_rename(machine->esp, entry->name, name, p))
		return false;
	int status = run(words);
	if (status == 0)
		return true;
	esp_rename(machine->esp, name, entry->name, &unused);
	return fail(p, "no-kexec", "systemctl kexec failed (%d).", status);
}

/* The boot loader is left out, so what it does for boot counting is done here: the name counts down, and
 * the new kernel is told under which name it started, since the loader's variable names the old entry. */
static bool by_kexec(const struct machine *machine, const struct entry *entry, struct problem *p) {
	char name[128], words[256];
	if (!counted(machine, entry, name))
		return fail(p, "no-kexec", "The name of the boot entry is too long.");
	snprintf(words, sizeof words, "colvert.entry=%s systemd.mask=systemd-bless-boot.service", name);
	if (!kexec_load_entry(machine, entry, words, p))
		return false;
	if (jump(machine, entry, name, p))
		return true;
	kexec_unload();
	return false;
}

static bool by_firmware(struct problem *p) {
	static const char *const words[] = {"systemctl", "reboot", NULL};
	int status = run(words);
	return status == 0 || fail(p, "disk", "systemctl reboot failed (%d).", status);
}

bool reboot_machine(const struct machine *machine, bool kexec, struct problem *p) {
	struct machine now = *machine;
	now.entries = NULL;
	if (!kexec)
		return by_firmware(p);
	/* what was just installed is not in the caller's list */
	if (!esp_list(now.esp, now.image_id, &now.entries, &now.count, p))
		return false;
	bool good = now.count ? by_kexec(&now, &now.entries[0], p) : fail(p, "no-kexec", "There is no boot entry.");
	machine_done(&now);
	return good;
}
