/* A release that a source offers, opened: signature, content and the rules of this machine. */
#pragma once

#include "context.h"
#include "fetch.h"
#include "machine.h"
#include "rules.h"
#include "settings.h"
#include "source.h"

struct offered {
	struct settings settings;
	struct fetch fetch;
	struct facts facts;
	struct wishes wishes;
	struct offer offer;
	struct release release;
};

void offered_done(struct offered *offered);
/* Reads the settings, asks the source that they or --from name, and opens what comes. */
bool offered_read(struct context *context, const struct machine *machine, struct offered *offered);
/* What the rules say of it. Where it is to be taken, or was, the sentence is not written yet. */
enum verdict offered_judge(struct context *context, struct offered *offered);
