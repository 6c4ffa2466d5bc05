#include <colvert/check.h>

#include "failed.h"
#include "rules.h"

static const struct release base = {
    .version = "2.0",
    .image_id = "colvert",
    .architecture = "x86_64",
    .channel = "stable",
    .from_at_least = "1.0",
    .created = 1000,
    .expires = 2000,
    .parts = {{.size = 100}, {.size = 10}, {.size = 50}, {.size = 5}},
};
static const struct facts here = {
    .image_id = "colvert", .version = "1.5", .architecture = "x86_64", .usr_size = 100, .verity_size = 10,
    .signature_size = 5};
static const struct wishes follows = {.channel = "stable"};
static const struct failed panicked = {.version = "2.0", .kind = "panic", .reason = "no init"};

/* The code of a refusal, or what else the verdict is. */
static const char *judge(
    const struct release *release, const struct facts *facts, const struct wishes *wishes, const struct failed *failed,
    uint64_t now) {
	static struct problem p;
	p = (struct problem){.code = ""};
	enum verdict verdict = rules_judge(release, facts, wishes, failed, now, &p);
	CHECK((verdict == VERDICT_REFUSED) == (p.code[0] != '\0') && (p.code[0] == '\0' || p.text[0]));
	static const char *const words[] = {
	    [VERDICT_TAKE] = "take", [VERDICT_RUNNING] = "running", [VERDICT_PENDING] = "pending"};
	return verdict == VERDICT_REFUSED ? p.code : words[verdict];
}

static const struct release *other(const char *version, const char *from_at_least, const char *channel) {
	static struct release release;
	release = base;
	CHECK(copy_text(release.version, sizeof release.version, version) &&
	      copy_text(release.from_at_least, sizeof release.from_at_least, from_at_least) &&
	      copy_text(release.channel, sizeof release.channel, channel));
	return &release;
}

static void releases(void) {
	CHECK_TEXT(judge(&base, &here, &follows, NULL, 1500), "take");
	CHECK_TEXT(judge(&base, &here, &follows, NULL, 2000), "take");
	CHECK_TEXT(judge(&base, &here, &follows, NULL, 2001), "expired");
	CHECK_TEXT(judge(&base, &here, &follows, NULL, 0), "take");
	CHECK_TEXT(judge(&base, &here, &follows, &panicked, 1500), "failed-before");
	static const struct {
		const char *code;
		struct release release;
	} table[] = {
	    {"image-id", {.version = "2.0", .image_id = "other", .architecture = "x86_64", .channel = "stable", .expires = 2000}},
	    {"architecture", {.version = "2.0", .image_id = "colvert", .architecture = "aarch64", .channel = "stable", .expires = 2000}},
	    {"channel", {.version = "2.0", .image_id = "colvert", .architecture = "x86_64", .channel = "beta", .expires = 2000}},
	};
	for (size_t i = 0; i < COUNT(table); i++)
		CHECK_TEXT(judge(&table[i].release, &here, &follows, NULL, 1500), table[i].code);
}

static void versions(void) {
	const struct wishes older = {.channel = "stable", .allow_older = true};
	CHECK_TEXT(judge(other("1.5", "1.0", "stable"), &here, &follows, NULL, 1), "running");
	/* also where it failed once: it runs now */
	CHECK_TEXT(judge(other("1.5", "1.0", "stable"), &here, &follows, &panicked, 1), "running");
	CHECK_TEXT(judge(other("1.10", "1.0", "stable"), &here, &follows, NULL, 1), "take");
	CHECK_TEXT(judge(other("1.4", "1.0", "stable"), &here, &follows, NULL, 1), "older");
	CHECK_TEXT(judge(other("1.4", "1.0", "stable"), &here, &older, NULL, 1), "take");
	CHECK_TEXT(judge(other("1.4", "1.0", "stable"), &here, &older, &panicked, 1), "failed-before");
	CHECK_TEXT(judge(other("2", "1.5", "stable"), &here, &follows, NULL, 1), "take");
	CHECK_TEXT(judge(other("2", "1.5.1", "stable"), &here, &follows, NULL, 1), "from-at-least");
	CHECK_TEXT(judge(other("2", "1.10", "stable"), &here, &older, NULL, 1), "from-at-least");
	/* what is allowed is not what is wanted elsewhere */
	CHECK_TEXT(judge(other("1.4", "1.0", "beta"), &here, &older, NULL, 1), "channel");
	CHECK_TEXT(judge(other("1.4", "1.0", "stable"), &here, &older, NULL, 9999), "expired");
}

static void slots(void) {
	struct facts facts = here;
	facts.usr_size = 99;
	CHECK_TEXT(judge(&base, &facts, &follows, NULL, 1), "slot-too-small");
	facts.usr_size = 100;
	facts.verity_size = 9;
	CHECK_TEXT(judge(&base, &facts, &follows, NULL, 1), "slot-too-small");
	facts.verity_size = 10;
	facts.signature_size = 4;
	CHECK_TEXT(judge(&base, &facts, &follows, NULL, 1), "slot-too-small");
	facts.usr_size = facts.verity_size = facts.signature_size = 0;
	CHECK_TEXT(judge(&base, &facts, &follows, NULL, 1), "take");
	strcpy(facts.pending, "2.0");
	CHECK_TEXT(judge(&base, &facts, &follows, NULL, 1), "pending");
	strcpy(facts.pending, "1.9");
	CHECK_TEXT(judge(&base, &facts, &follows, NULL, 1), "take");
}

static void failures(void) {
	const struct wishes again = {.channel = "stable", .allow_failed = true};
	CHECK_TEXT(judge(&base, &here, &again, &panicked, 1), "take");
	CHECK_TEXT(judge(&base, &here, &again, &panicked, 9999), "expired");
	CHECK_TEXT(judge(other("1.4", "1.0", "stable"), &here, &again, &panicked, 1), "older");
}

int main(void) {
	releases();
	versions();
	slots();
	failures();
}
