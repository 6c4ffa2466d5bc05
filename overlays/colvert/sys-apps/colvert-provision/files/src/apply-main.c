/* Takes the answer that provision-fetch left and applies it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <colvert/say.h>

#include "apply.h"

static int usage(void) {
	fputs("usage: provision-apply [--root DIR] [--from DIR]\n", stderr);
	return 2;
}

static int run(const char *root, const char *from) {
	AUTO(struct answer, answer_done) answer = {0};
	AUTO_FD dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD source = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || source < 0)
		return -errno;
	int status = answer_load(source, &answer);
	/* nobody needs the secrets in it a second time */
	unlinkat(source, "ready", 0);
	unlinkat(source, "user-data", 0);
	return status < 0 ? status : apply(&(struct target){dir, strcmp(root, "/") == 0}, &answer);
}

int main(int argc, char **argv) {
	static const struct option options[] = {
	    {"root", required_argument, NULL, 'r'}, {"from", required_argument, NULL, 'f'}, {0}};
	const char *root = "/", *from = "/run/colvert-provision";
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'r': root = optarg; break;
		case 'f': from = optarg; break;
		default: return usage();
		}
	}
	if (optind != argc)
		return usage();
	int status = run(root, from);
	if (status < 0)
		say(LEVEL_WARNING, "What the platform told cannot be applied: %s.", strerror(-status));
	/* the boot is as good as without a platform, and the next one tries again */
	return 0;
}
