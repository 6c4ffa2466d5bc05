#include "names.h"

#include <stdio.h>
#include <string.h>

#include "bounds.h"

enum { NAME_LENGTH = 255, LABEL_LENGTH = 63 };

#define EXTRA_UNIT "systemd.extra-unit."
#define UNIT_DROPIN "systemd.unit-dropin."

static bool label_valid(const char *label, size_t size) {
	if (size == 0 || size > LABEL_LENGTH || label[0] == '-' || label[size - 1] == '-')
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_alnum(label[i]) && label[i] != '-')
			return false;
	return true;
}

static bool all_digits(const char *text) {
	return text[0] && text[strspn(text, "0123456789")] == '\0';
}

static bool host_name_valid(const char *name) {
	for (const char *label = name;;) {
		size_t size = strcspn(label, ".");
		if (!label_valid(label, size))
			return false;
		if (!label[size])
			/* what ends in a number is an address */
			return !all_digits(label) && !starts_with(name, "localhost");
		label += size + 1;
	}
}

bool host_name_accept(const char *text, size_t size, char out[HOST_NAME_LENGTH + 1]) {
	char name[256];
	while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	if (size == 0 || size >= sizeof name || memchr(text, '\0', size))
		return false;
	for (size_t i = 0; i < size; i++)
		name[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 'a' - 'A') : text[i];
	name[size] = '\0';
	if (!host_name_valid(name))
		return false;
	if (size > HOST_NAME_LENGTH) {
		name[strcspn(name, ".")] = '\0';
		if (!host_name_valid(name))
			return false;
	}
	strcpy(out, name);
	return true;
}

bool instance_id_accept(const char *text, size_t size, char out[ID_MAX + 1]) {
	while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	if (size == 0 || size > ID_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_alnum(text[i]) && (text[i] == '\0' || !strchr("._:-", text[i])))
			return false;
	memcpy(out, text, size);
	out[size] = '\0';
	return true;
}

/* A file name of letters, digits and `others` that is not hidden. */
static bool plain_name(const char *name, const char *others) {
	size_t size = strlen(name);
	if (size == 0 || size > NAME_LENGTH || name[0] == '.')
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_alnum(name[i]) && !strchr(others, name[i]))
			return false;
	return true;
}

bool credential_name_valid(const char *name) {
	return plain_name(name, "._-+=,@~\\");
}

bool unit_name_valid(const char *name) {
	static const char *const types[] = {".automount", ".mount", ".path",   ".service",
	                                    ".slice",     ".socket", ".swap",  ".target", ".timer"};
	if (!plain_name(name, "._-:@\\") || name[0] == '@')
		return false;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (ends_with(name, types[i]))
			return strlen(name) > strlen(types[i]);
	return false;
}

static bool fits(int length, size_t room) {
	return length > 0 && (size_t)length < room;
}

/* UNIT or UNIT~NAME, as systemd.system-credentials(7) has it. */
static bool dropin_path(const char *text, char *out, size_t room) {
	char unit[NAME_LENGTH + 1];
	const char *tilde = strchr(text, '~');
	size_t size = tilde ? (size_t)(tilde - text) : strlen(text);
	const char *name = tilde ? tilde + 1 : "50-credential";
	if (size > NAME_LENGTH - 2 || strlen(name) > NAME_LENGTH - 5)
		return false;
	memcpy(unit, text, size);
	unit[size] = '\0';
	if (!unit_name_valid(unit) || !plain_name(name, "._-+@"))
		return false;
	return fits(snprintf(out, room, "etc/systemd/system/%s.d/%s.conf", unit, name), room);
}

bool credential_path(const char *name, bool encrypted, enum place *place, char *out, size_t room) {
	bool extra = starts_with(name, EXTRA_UNIT), dropin = starts_with(name, UNIT_DROPIN);
	if (!credential_name_valid(name) || ((extra || dropin) && encrypted))
		return false;
	*place = extra || dropin ? PLACE_UNIT : PLACE_CREDENTIAL;
	if (dropin)
		return dropin_path(name + strlen(UNIT_DROPIN), out, room);
	if (extra) {
		const char *unit = name + strlen(EXTRA_UNIT);
		return unit_name_valid(unit) && fits(snprintf(out, room, "etc/systemd/system/%s", unit), room);
	}
	return fits(snprintf(out, room, "etc/credstore%s/%s", encrypted ? ".encrypted" : "", name), room);
}
