#include "source.h"

#include <stdio.h>

#include "dsse.h"

void offer_done(struct offer *offer) {
	blob_done(&offer->envelope);
}

static bool announce(struct source *source, const char *version, struct offer *offer, struct problem *p) {
	const struct static_source *from = (const struct static_source *)source;
	char name[64];
	snprintf(name, sizeof name, "%s.json", version ? version : "index");
	if (!copy_text(offer->base, sizeof offer->base, from->base))
		return fail(p, "usage", "The source's address is too long.");
	return fetch_text(from->fetch, from->base, name, ENVELOPE_MAX, &offer->envelope, p);
}

struct static_source static_source(const struct fetch *fetch, const char *base) {
	return (struct static_source){{announce}, fetch, base};
}
