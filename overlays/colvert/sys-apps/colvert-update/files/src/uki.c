#include "uki.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <colvert/util.h>

enum {
	PE_AT = 0x3c, /* where a DOS header says where the PE header is */
	PE_SECTIONS = 6,
	PE_OPTIONAL_SIZE = 20,
	PE_SIZE = 24,
	SECTION_SIZE = 40,
	SECTION_NAME = 8,
	SECTION_VIRTUAL_SIZE = 8,
	SECTION_RAW_SIZE = 16,
	SECTION_RAW_AT = 20,
	SECTIONS_MAX = 96, /* of what a loader takes */
};

static bool get(int fd, uint64_t at, void *out, size_t size) {
	return pread(fd, out, size, (off_t)at) == (ssize_t)size;
}

static uint16_t small(const unsigned char *data) { return (uint16_t)(data[0] | data[1] << 8); }
static uint32_t large(const unsigned char *data) { return small(data) | (uint32_t)small(data + 2) << 16; }

static bool is_named(const unsigned char *header, const char *name) {
	char have[SECTION_NAME + 1] = "";
	memcpy(have, header, SECTION_NAME);
	return strcmp(have, name) == 0;
}

/* Where the table of sections is, and how long. */
static bool find_table(int fd, uint64_t *at, unsigned *count) {
	unsigned char dos[PE_AT + 4], pe[PE_SIZE];
	if (!get(fd, 0, dos, sizeof dos) || memcmp(dos, "MZ", 2) != 0)
		return false;
	uint64_t start = large(dos + PE_AT);
	if (!get(fd, start, pe, sizeof pe) || memcmp(pe, "PE\0\0", 4) != 0)
		return false;
	*at = start + PE_SIZE + small(pe + PE_OPTIONAL_SIZE);
	*count = small(pe + PE_SECTIONS);
	return *count <= SECTIONS_MAX;
}

bool uki_find(int fd, const char *name, struct uki_section *out) {
	struct stat info;
	uint64_t at;
	unsigned count;
	unsigned char header[SECTION_SIZE];
	if (fstat(fd, &info) < 0 || !find_table(fd, &at, &count))
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (!get(fd, at + (uint64_t)i * SECTION_SIZE, header, sizeof header) || is_named(header, ".profile"))
			return false;
		if (!is_named(header, name))
			continue;
		/* the raw size is rounded up, the virtual one is what was put in */
		uint32_t size = large(header + SECTION_VIRTUAL_SIZE), raw = large(header + SECTION_RAW_SIZE);
		*out = (struct uki_section){large(header + SECTION_RAW_AT), size < raw ? size : raw};
		return out->size > 0 && out->offset + out->size <= (uint64_t)info.st_size;
	}
	return false;
}

bool uki_cmdline(int fd, char out[UKI_CMDLINE_ROOM]) {
	struct uki_section section;
	if (!uki_find(fd, ".cmdline", &section) || section.size >= UKI_CMDLINE_ROOM || !get(fd, section.offset, out, section.size))
		return false;
	out[section.size] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return out[0] && is_printable(out, strlen(out));
}

bool uki_names_usr(int fd, const char *root_hash) {
	char line[UKI_CMDLINE_ROOM], wanted[80], *rest = line, *word;
	snprintf(wanted, sizeof wanted, "usrhash=%s", root_hash);
	if (!uki_cmdline(fd, line))
		return false;
	while ((word = strsep(&rest, " ")))
		if (strcmp(word, wanted) == 0)
			return true;
	return false;
}
