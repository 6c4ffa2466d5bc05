/* /usr/lib/colvert/update.conf, and /etc/colvert/update.conf over it. */
#pragma once

#include "problem.h"

enum reboot { REBOOT_NEVER, REBOOT_NOW, REBOOT_WINDOW };

struct settings {
	char source[1024]; /* URL of a directory or an absolute path; empty: none */
	char channel[64];
	enum reboot reboot;
	char window_start[128], window_length[32];
	uint64_t rate; /* bytes per second; 0: no limit */
	unsigned stall_seconds;
	bool kexec;
};

bool settings_read(int root, struct settings *settings, struct problem *p);
/* An absolute path, or a URL that begins with http:// or https://. */
bool source_valid(const char *text);
