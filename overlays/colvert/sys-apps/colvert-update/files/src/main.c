/* colvert-update: reads the words of the command line, runs one command, tells what came of it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "report.h"

static const char help[] =
    "Usage: colvert-update [--json] COMMAND [OPTION...]\n"
    "\n"
    "Commands:\n"
    "  status                  what runs, what waits for the next boot, what failed here\n"
    "  check                   ask the source whether there is a release for this machine\n"
    "  update                  put the release that the source announces into the cold slot\n"
    "    --version V           that release instead of the announced one\n"
    "    --from DIR|URL        from there instead of SOURCE=\n"
    "    --allow-older         also if it is older than what runs (root, with --version)\n"
    "    --allow-failed        also if it has failed here before\n"
    "    --reboot              restart into it at once\n"
    "  rollback [--reboot]     let the other slot be what the next boot takes\n"
    "  cancel                  forget a release that is installed and has not been booted\n"
    "  download --into DIR     check a release and keep it in DIR, for machines without a network\n"
    "    [--version V] [--from URL]\n"
    "  defaults [--from V]     what an update changed in the defaults of /etc\n"
    "  booted                  take note of the version that runs (a unit does this)\n"
    "  restart                 restart if a release waits for it (a timer does this)\n"
    "\n"
    "Options of all commands:\n"
    "  --json                  one JSON object instead of words\n"
    "  --automatic             as the timer: pauses after errors, obeys REBOOT=\n"
    "  --root DIR              the files below DIR are the machine's (no slots)\n"
    "  --help\n"
    "\n"
    "Examples:\n"
    "  colvert-update check\n"
    "  colvert-update update --reboot\n"
    "  colvert-update update --from /mnt/usb\n"
    "  colvert-update update --version 1.2.3 --allow-older\n"
    "  colvert-update --json status\n"
    "\n"
    "Exit status: 0 done, or nothing to do; 1 failed (network, disk); 2 refused, or used wrongly.\n"
    "Configuration: /usr/lib/colvert/update.conf, and /etc/colvert/update.conf over it.\n";

enum {
	OPTION_VERSION = 1 << 0,
	OPTION_FROM = 1 << 1,
	OPTION_ALLOW_OLDER = 1 << 2,
	OPTION_ALLOW_FAILED = 1 << 3,
	OPTION_REBOOT = 1 << 4,
	OPTION_INTO = 1 << 5,
	OPTION_JSON = 1 << 6,
	OPTION_AUTOMATIC = 1 << 7,
	OPTION_ROOT = 1 << 8,
	OPTION_HELP = 1 << 9,
	OPTIONS_OF_ALL = OPTION_JSON | OPTION_AUTOMATIC | OPTION_ROOT | OPTION_HELP,
};

static const struct command {
	const char *name;
	bool (*run)(struct context *context);
	int options;
} commands[] = {
    {"status", command_status, 0},
    {"check", command_check, OPTION_VERSION | OPTION_FROM | OPTION_ALLOW_OLDER | OPTION_ALLOW_FAILED},
    {"update", command_update,
     OPTION_VERSION | OPTION_FROM | OPTION_ALLOW_OLDER | OPTION_ALLOW_FAILED | OPTION_REBOOT},
    {"rollback", command_rollback, OPTION_REBOOT},
    {"cancel", command_cancel, 0},
    {"download", command_download, OPTION_VERSION | OPTION_FROM | OPTION_INTO},
    {"defaults", command_defaults, OPTION_FROM},
    {"booted", command_booted, 0},
    {"restart", command_restart, 0},
};

static const struct word {
	const char *name;
	int argument, option;
} words[] = {
    {"version", required_argument, OPTION_VERSION},
    {"from", required_argument, OPTION_FROM},
    {"allow-older", no_argument, OPTION_ALLOW_OLDER},
    {"allow-failed", no_argument, OPTION_ALLOW_FAILED},
    {"reboot", no_argument, OPTION_REBOOT},
    {"into", required_argument, OPTION_INTO},
    {"json", no_argument, OPTION_JSON},
    {"automatic", no_argument, OPTION_AUTOMATIC},
    {"root", required_argument, OPTION_ROOT},
    {"help", no_argument, OPTION_HELP},
};

static void take(struct options *options, int option, const char *argument) {
	switch (option) {
	case OPTION_VERSION: options->version = argument; break;
	case OPTION_FROM: options->from = argument; break;
	case OPTION_ALLOW_OLDER: options->allow_older = true; break;
	case OPTION_ALLOW_FAILED: options->allow_failed = true; break;
	case OPTION_REBOOT: options->reboot = true; break;
	case OPTION_INTO: options->into = argument; break;
	case OPTION_JSON: options->json = true; break;
	case OPTION_AUTOMATIC: options->automatic = true; break;
	case OPTION_ROOT: options->root = argument; break;
	default: break;
	}
}

/* All options that were given, as bits; -1 where one is none. */
static int read_options(int argc, char **argv, struct options *options) {
	struct option long_options[COUNT(words) + 1] = {0};
	int given = 0, index;
	for (size_t i = 0; i < COUNT(words); i++)
		long_options[i] = (struct option){words[i].name, words[i].argument, NULL, words[i].option};
	opterr = 0;
	for (int option; (option = getopt_long(argc, argv, "", long_options, &index)) != -1;) {
		if (option == '?')
			return -1;
		given |= option;
		take(options, option, optarg);
	}
	return given;
}

static const struct command *find(const char *name) {
	for (size_t i = 0; i < COUNT(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static bool run_command(struct context *context, int given, int argc, char **argv) {
	const struct command *command = given >= 0 && argc == 1 ? find(argv[0]) : NULL;
	if (!command || given & ~(command->options | OPTIONS_OF_ALL))
		return fail(&context->end, "usage", "There is no such command, or it has no such option. See `colvert-update --help`.");
	context->live = strcmp(context->options.root, "/") == 0;
	context->root = open(context->options.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (context->root < 0)
		return fail(&context->end, "usage", "--root %s: %s.", context->options.root, strerror(errno));
	return command->run(context);
}

int main(int argc, char **argv) {
	struct context context = {.options.root = "/", .root = -1, .report = json_object_new_object()};
	int given = read_options(argc, argv, &context.options);
	if (given >= 0 && given & OPTION_HELP) {
		fputs(help, stdout);
		return 0;
	}
	bool good = run_command(&context, given, argc - optind, argv + optind);
	if (context.options.json)
		report_json(&context, good);
	else
		report_words(&context, good);
	json_object_put(context.report);
	return good ? 0 : problem_status(&context.end);
}
