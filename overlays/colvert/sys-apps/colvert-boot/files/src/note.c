#include "note.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

bool note_format(const struct note *note, char *out, size_t room) {
	return print(out, room, "version=%s\nboot=%s\nkind=%s\nwhen=%lld\nreason=%s\n", note->version, note->boot,
	             note->kind, note->when, note->reason);
}

bool note_parse(const char *text, struct note *out) {
	char when[24] = "";
	*out = (struct note){0};
	if (!find_word(text, "version", out->version, sizeof out->version) ||
	    !find_word(text, "boot", out->boot, sizeof out->boot))
		return false;
	/* these may be missing */
	find_word(text, "kind", out->kind, sizeof out->kind);
	if (find_word(text, "when", when, sizeof when))
		out->when = strtoll(when, NULL, 10);
	const char *reason = strstr(text, "\nreason=");
	if (reason)
		/* too long a reason is a reason cut short */
		print(out->reason, sizeof out->reason, "%s", reason + 8);
	one_line(out->reason);
	return strchr(out->version, '/') == NULL && strchr(out->boot, '/') == NULL && out->version[0] != '.';
}

/* The line around a place in a text, without the stamp `<6>[   12.3456] ` before it. */
static void line_at(const char *text, const char *at, char *out, size_t room) {
	while (at != text && at[-1] != '\n')
		at--;
	if (*at == '<' && strchr(at, '>'))
		at = strchr(at, '>') + 1;
	const char *stamp = strstr(at, "] ");
	if (*at == '[' && stamp && stamp < at + strcspn(at, "\n"))
		at = stamp + 2;
	print(out, room, "%.*s", (int)strcspn(at, "\n"), at);
	one_line(out);
}

bool note_from_dump(const char *dump, struct note *out) {
	static const char panic[] = "Kernel panic - not syncing: ";
	const char *at = strstr(dump, panic);
	if (!at)
		return false;
	line_at(dump, at, out->reason, sizeof out->reason);
	memmove(out->reason, out->reason + sizeof panic - 1, strlen(out->reason + sizeof panic - 1) + 1);
	bool verity = strstr(out->reason, "verity") != NULL;
	print(out->kind, sizeof out->kind, "%s", verity ? "verity" : "panic");
	/* the panic says that a device is corrupted, the line before it which block */
	const char *block = verity ? strstr(dump, "verity: ") : NULL;
	for (const char *next; block && block < at && (next = strstr(block + 1, "verity: ")) && next < at;)
		block = next;
	if (block && block < at)
		line_at(dump, block, out->reason, sizeof out->reason);
	return true;
}

void note_from_errors(const char *errors, struct note *out) {
	bool verity = strstr(errors, "verity") != NULL;
	print(out->kind, sizeof out->kind, "%s", verity ? "verity" : "initrd");
	print(out->reason, sizeof out->reason, "%s", *errors ? errors : "no error was logged");
	one_line(out->reason);
}
