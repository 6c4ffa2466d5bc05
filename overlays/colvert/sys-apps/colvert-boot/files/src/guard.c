#include "guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <colvert/fd.h>

#include "efivar.h"
#include "text.h"

/* How long an init may take from its start to the first unit; under emulation it takes some ten seconds. */
enum { INIT_SECONDS = 120 };

/* PID 1 has another root than we: it went on to the system, and we stayed in the initrd. */
static bool went_on(int proc) {
	struct stat its, ours;
	return fstatat(proc, "1/root/", &its, 0) == 0 && stat("/", &ours) == 0 &&
	       (its.st_dev != ours.st_dev || its.st_ino != ours.st_ino);
}

/* All that it needs was read before: /proc and /sys are out of reach by now. */
static void give_up(int efivars, const struct boot *boot) {
	char text[NOTE_ROOM];
	struct note note = boot_note(boot);
	print(note.kind, sizeof note.kind, "hang");
	print(note.reason, sizeof note.reason, "init started no unit within %d s", INIT_SECONDS);
	if (note_format(&note, text, sizeof text))
		failure_write(efivars, text);
	sync();
	reboot(RB_AUTOBOOT);
}

void guard(int efivars, const struct boot *boot) {
	/* once PID 1 has moved on, paths lead to what is left of the initrd */
	AUTO_FD run = open("/run", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* the initrd's init ends everybody before it goes */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int left = INIT_SECONDS;
	while (faccessat(run, "colvert/boot-begun", F_OK, 0) < 0) {
		if (went_on(proc) && left-- == 0)
			give_up(efivars, boot);
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
}
