#include "facts.h"

#include <string.h>
#include <sys/utsname.h>

#include "conf.h"
#include "install.h"

enum { OS_RELEASE_MAX = 64 << 10 };

static bool read_release(int root, struct facts *facts, struct problem *p) {
	AUTO_BLOB text = {0};
	int error = read_file(root, "usr/lib/os-release", OS_RELEASE_MAX, &text);
	if (error)
		return fail(p, "disk", "/usr/lib/os-release cannot be read: %s.", strerror(-error));
	return (conf_get(text.data, text.size, "IMAGE_ID", facts->image_id, sizeof facts->image_id) &&
	        conf_get(text.data, text.size, "IMAGE_VERSION", facts->version, sizeof facts->version)) ||
	       fail(p, "disk", "/usr/lib/os-release has no IMAGE_ID= and IMAGE_VERSION=: this is no system that can be updated "
	            "as one unit.");
}

bool facts_read(int root, const struct machine *machine, struct facts *facts, struct problem *p) {
	struct utsname name;
	*facts = (struct facts){0};
	if (!read_release(root, facts, p))
		return false;
	if (uname(&name) == 0)
		copy_text(facts->architecture, sizeof facts->architecture, name.machine);
	if (machine) {
		const struct entry *next = pending(machine);
		facts->usr_size = machine->cold.usr_size;
		facts->verity_size = machine->cold.verity_size;
		facts->signature_size = machine->cold.signature_size;
		if (next)
			copy_text(facts->pending, sizeof facts->pending, next->version);
	}
	return true;
}
