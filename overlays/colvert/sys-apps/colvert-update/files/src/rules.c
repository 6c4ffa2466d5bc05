#include "rules.h"

#include <string.h>

#include "failed.h"
#include "version.h"

bool rules_fit(const struct release *release, const struct facts *facts, const struct wishes *wishes, uint64_t now,
               struct problem *p) {
	if (strcmp(release->image_id, facts->image_id) != 0)
		return fail(p, "image-id", "The release is of the system `%s`, and this machine runs `%s`. Correct SOURCE=.",
		            release->image_id, facts->image_id);
	if (strcmp(release->architecture, facts->architecture) != 0)
		return fail(p, "architecture", "The release is for %s, and this machine is %s. Correct SOURCE=.",
		            release->architecture, facts->architecture);
	if (strcmp(release->channel, wishes->channel) != 0)
		return fail(p, "channel", "The release is for the channel `%s`, and this machine follows `%s`. Correct SOURCE= or "
		            "CHANNEL= in /etc/colvert/update.conf.", release->channel, wishes->channel);
	if (now > release->expires)
		return fail(p, "expired", "The index of release %s has expired. Its publisher has to sign it anew; check this "
		            "machine's clock too.", release->version);
	return true;
}

static bool order_fits(const struct release *release, const struct facts *facts, const struct wishes *wishes,
                       struct problem *p) {
	if (version_compare(release->version, facts->version) < 0) {
		if (!wishes->allow_older)
			return fail(p, "older", "Release %s is older than %s, which runs. To go back on purpose: `colvert-update "
			            "rollback`, or `colvert-update update --version %s --allow-older`.",
			            release->version, facts->version, release->version);
		/* the way up from from_at_least says nothing of the way down */
		return true;
	}
	if (version_compare(facts->version, release->from_at_least) < 0)
		return fail(p, "from-at-least", "Release %s can only be reached from %s or newer, and this machine runs %s. Update "
		            "to that first: `colvert-update update --version %s`.",
		            release->version, release->from_at_least, facts->version, release->from_at_least);
	return true;
}

static bool size_fits(const char *what, uint64_t need, uint64_t have, struct problem *p) {
	if (have == 0 || need <= have)
		return true;
	return fail(p, "slot-too-small", "The %s of the release has %llu bytes, and the slot's partition has %llu. This disk "
	            "cannot take it: install the machine anew.", what, (unsigned long long)need, (unsigned long long)have);
}

enum verdict rules_judge(
    const struct release *release, const struct facts *facts, const struct wishes *wishes, const struct failed *failed,
    uint64_t now, struct problem *p) {
	if (!rules_fit(release, facts, wishes, now, p))
		return VERDICT_REFUSED;
	if (version_compare(release->version, facts->version) == 0)
		return VERDICT_RUNNING;
	if (!order_fits(release, facts, wishes, p) ||
	    !size_fits("usr image", release->parts[PART_USR].size, facts->usr_size, p) ||
	    !size_fits("hash tree", release->parts[PART_VERITY].size, facts->verity_size, p) ||
	    !size_fits("signature", release->parts[PART_SIGNATURE].size, facts->signature_size, p))
		return VERDICT_REFUSED;
	if (strcmp(release->version, facts->pending) == 0)
		return VERDICT_PENDING;
	if (failed && !wishes->allow_failed) {
		fail(p, "failed-before", "Release %s has failed on this machine before (%s: %s). Wait for a newer one, or try it "
		     "again with --allow-failed.", release->version, failed->kind, failed->reason);
		return VERDICT_REFUSED;
	}
	return VERDICT_TAKE;
}
