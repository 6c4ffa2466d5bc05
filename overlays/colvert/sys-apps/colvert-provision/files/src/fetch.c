/* Finds the platform, asks it, and leaves the answer for the step that applies it.
 * Without privileges: it talks to the network, and it trusts nothing of what comes back. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <colvert/say.h>

#include "bounds.h"
#include "clouds.h"
#include "http.h"
#include "platform.h"
#include "vmware.h"

enum { SECONDS = 60, OEM_KEYS_MAX = KEYS_MAX, APPEAR_STEPS = 100, APPEAR_STEP_MS = 100 };

#define STATE "var/lib/colvert/provision/instance-id"
#define DRIVE "run/configdrive"

struct settings {
	const char *root, *address, *out, *credentials;
	unsigned seconds;
	int dir;
};

static bool exists(const struct settings *settings, const char *path) {
	return faccessat(settings->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A file system that is on its way: its device is there or may still come, and `path` of it not yet. udev has
 * been told of every disk before this program starts, but on a slow machine it is not done with them. */
static void wait_for(const struct settings *settings, const char *device, const char *path) {
	for (int i = 0; i < APPEAR_STEPS; i++) {
		if (exists(settings, path) || (!exists(settings, device) && !exists(settings, "run/udev/queue")))
			return;
		nanosleep(&(struct timespec){0, APPEAR_STEP_MS * 1000000L}, NULL);
	}
}

static const struct platform *oem_platform(const struct settings *settings) {
	AUTO_BLOB text = {0};
	wait_for(settings, "dev/disk/by-partlabel/OEM", "oem/oem-release");
	return read_file(settings->dir, "oem/oem-release", 4096, &text) == 0 ? platform_from_oem(text.data) : NULL;
}

/* Firmware and OEM partition name no platform: there may be a credential even so. */
static const struct platform unknown = {"unknown", SOURCE_LOCAL};

static const struct platform *find_platform(const struct settings *settings) {
	AUTO(struct dmi, dmi_done) dmi;
	dmi_read(settings->dir, &dmi);
	const struct platform *named = platform_from_dmi(&dmi);
	if (named && named->source != SOURCE_VMWARE)
		return named;
	named = platform_choose(named, oem_platform(settings));
	return named ? named : &unknown;
}

/* What the hypervisor passed as a credential. */
static void read_credential(const struct settings *settings, struct answer *answer) {
	if (!settings->credentials)
		return;
	AUTO_FD dir = open(settings->credentials, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && read_file(dir, "colvert.user-data", USER_DATA_MAX, &answer->user_data) == -EFBIG) {
		say(LEVEL_WARNING, "The user data is larger than %d bytes; it is left alone.", USER_DATA_MAX);
		blob_done(&answer->user_data);
	}
}

static enum outcome read_local(const struct settings *settings, bool vagrant, struct answer *answer) {
	AUTO_BLOB keys = {0};
	answer->complete = true;
	answer->vagrant = vagrant;
	if (vagrant && read_file(settings->dir, "oem/ssh/authorized_keys.root", OEM_KEYS_MAX, &keys) == 0)
		keys_add(&answer->keys, keys.data, keys.size, &answer->tally);
	read_credential(settings, answer);
	return OUTCOME_DONE;
}

static enum outcome read_drive(const struct settings *settings, const char *known, struct answer *answer) {
	wait_for(settings, "dev/colvert-config-drive", DRIVE "/openstack");
	AUTO_FD drive = openat(settings->dir, DRIVE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return drive < 0 ? OUTCOME_FAILED : openstack_read(drive, known, answer);
}

static enum outcome ask_service(
    const struct settings *settings, enum source source, const char *known, struct answer *answer) {
	struct http http;
	if (!http_open(&http, settings->address, settings->seconds))
		return OUTCOME_FAILED;
	enum outcome outcome;
	if (source == SOURCE_GCE)
		outcome = gce_ask(&http.service, known, answer);
	else if (source == SOURCE_OPENSTACK)
		outcome = openstack_ask(&http.service, known, answer);
	else
		outcome = ec2_ask(&http.service, source == SOURCE_EC2, known, answer);
	http_close(&http);
	return outcome;
}

static enum outcome ask(
    const struct settings *settings, enum source source, const char *known, struct answer *answer) {
	enum outcome outcome;
	switch (source) {
	case SOURCE_LOCAL:
	case SOURCE_VAGRANT:
		return read_local(settings, source == SOURCE_VAGRANT, answer);
	case SOURCE_VMWARE:
		return vmware_ask_port(known, answer);
	case SOURCE_OPENSTACK:
		outcome = read_drive(settings, known, answer);
		if (outcome != OUTCOME_FAILED)
			return outcome;
		/* fall through */
	default:
		return ask_service(settings, source, known, answer);
	}
}

/* This boot has asked. */
static void mark(const struct settings *settings) {
	AUTO_FD out = open(settings->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out >= 0)
		write_file(out, "asked", "", 0, 0600);
}

static int leave(const struct settings *settings, const struct platform *platform, const struct answer *answer) {
	if (answer->tally.refused)
		say(LEVEL_WARNING, "%u lines of the platform's ssh keys are no keys that can be taken.", answer->tally.refused);
	if (!answer->complete)
		say(LEVEL_WARNING, "The platform %s did not answer everything; the next boot asks again.", platform->name);
	if (answer_empty(answer))
		return 0;
	AUTO_FD out = open(settings->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out < 0 ? -errno : answer_save(out, answer);
}

static int run(const struct settings *settings) {
	AUTO_BLOB known = {0};
	AUTO(struct answer, answer_done) answer = {0};
	const struct platform *platform = find_platform(settings);
	if (read_file(settings->dir, STATE, ID_MAX + 1, &known) < 0)
		blob_done(&known);
	blob_trim(&known);
	switch (ask(settings, platform->source, known.data ? known.data : "", &answer)) {
	case OUTCOME_SAME:
		say(LEVEL_INFO, "Platform %s: this instance was provisioned before.", platform->name);
		return 0;
	case OUTCOME_FAILED:
		say(LEVEL_WARNING, "Platform %s: nothing was learned; the next boot asks again.", platform->name);
		return 0;
	default:
		return leave(settings, platform, &answer);
	}
}

static int usage(void) {
	fputs("usage: provision-fetch [--root DIR] [--address HOST[:PORT]] [--seconds N] [--out DIR]\n", stderr);
	return 2;
}

int main(int argc, char **argv) {
	static const struct option options[] = {
	    {"root", required_argument, NULL, 'r'},    {"address", required_argument, NULL, 'a'},
	    {"seconds", required_argument, NULL, 's'}, {"out", required_argument, NULL, 'o'},
	    {0},
	};
	struct settings settings = {"/", "169.254.169.254", getenv("RUNTIME_DIRECTORY"),
	                            getenv("CREDENTIALS_DIRECTORY"), SECONDS, -1};
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'r': settings.root = optarg; break;
		case 'a': settings.address = optarg; break;
		case 's': settings.seconds = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'o': settings.out = optarg; break;
		default: return usage();
		}
	}
	if (!settings.out || optind != argc)
		return usage();
	settings.dir = open(settings.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int status = settings.dir < 0 ? -errno : run(&settings);
	if (status < 0)
		say(LEVEL_WARNING, "The answer cannot be kept: %s.", strerror(-status));
	mark(&settings);
	/* a platform that does not answer is no failure of this machine */
	return 0;
}
