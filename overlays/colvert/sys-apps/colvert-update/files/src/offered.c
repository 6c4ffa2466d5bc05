#include "offered.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dsse.h"
#include "facts.h"
#include "failed.h"
#include "index.h"
#include "version.h"

void offered_done(struct offered *offered) {
	offer_done(&offered->offer);
	release_done(&offered->release);
}

static void show_progress(const char *name, uint64_t have, uint64_t size) {
	fprintf(stderr, "%.12s: %llu of %llu kB\n", name, (unsigned long long)(have + 999) / 1000,
	        (unsigned long long)(size + 999) / 1000);
}

static bool open_envelope(struct context *context, struct offered *offered) {
	AUTO(struct ring, ring_done) ring = {0};
	AUTO_BLOB payload = {0};
	const struct blob *envelope = &offered->offer.envelope;
	return ring_read(context->root, &ring, &context->end) &&
	       dsse_open(&ring, envelope->data, envelope->size, &payload, &context->end) &&
	       index_parse(payload.data, payload.size, &offered->release, &context->end);
}

static void describe(struct json_object *report, const struct release *release) {
	struct json_object *about = json_object_new_object();
	uint64_t download = 0;
	for (int i = 0; i < PARTS; i++)
		for (size_t k = 0; k < release->parts[i].count; k++)
			download += release->parts[i].ways[k].delta ? 0 : release->parts[i].ways[k].size;
	json_object_object_add(about, "version", json_object_new_string(release->version));
	json_object_object_add(about, "root_hash", json_object_new_string(release->root_hash));
	json_object_object_add(about, "created", json_object_new_int64((int64_t)release->created));
	json_object_object_add(about, "expires", json_object_new_int64((int64_t)release->expires));
	json_object_object_add(about, "whole_download", json_object_new_int64((int64_t)download));
	json_object_object_add(report, "release", about);
}

static bool ask(struct context *context, struct offered *offered) {
	const char *base = context->options.from ? context->options.from : offered->settings.source;
	const char *version = context->options.version;
	if (!base[0])
		return fail(&context->end, "no-source", "No source of releases is configured. Set SOURCE= in "
		            "/etc/colvert/update.conf, or name one with --from.");
	if (!source_valid(base))
		return fail(&context->end, "usage", "--from takes the URL (http, https) or the absolute path of a directory.");
	struct static_source source = static_source(&offered->fetch, base);
	if (!source.source.announce(&source.source, version, &offered->offer, &context->end) ||
	    !open_envelope(context, offered))
		return false;
	if (version && strcmp(version, offered->release.version) != 0)
		return fail(&context->end, "format", "%s.json is the index of another release, %s. The source is not in order.",
		            version, offered->release.version);
	describe(context->report, &offered->release);
	return true;
}

bool offered_read(struct context *context, const struct machine *machine, struct offered *offered) {
	const struct options *options = &context->options;
	struct settings *settings = &offered->settings;
	if (options->version && !version_valid(options->version))
		return fail(&context->end, "usage", "--version: this is no version.");
	if (options->allow_older && (!options->version || geteuid() != 0))
		return fail(&context->end, "usage", "--allow-older is root's, and needs --version.");
	if (!settings_read(context->root, settings, &context->end) ||
	    !facts_read(context->root, machine, &offered->facts, &context->end))
		return false;
	offered->fetch = (struct fetch){settings->rate, settings->stall_seconds, options->json ? NULL : show_progress};
	offered->wishes = (struct wishes){.allow_older = options->allow_older, .allow_failed = options->allow_failed};
	copy_text(offered->wishes.channel, sizeof offered->wishes.channel, settings->channel);
	return ask(context, offered);
}

enum verdict offered_judge(struct context *context, struct offered *offered) {
	struct failed failed;
	bool before = failed_read(context->root, offered->release.version, &failed);
	return rules_judge(&offered->release, &offered->facts, &offered->wishes, before ? &failed : NULL,
	                   (uint64_t)time(NULL), &context->end);
}
