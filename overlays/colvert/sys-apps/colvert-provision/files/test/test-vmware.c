#include <colvert/check.h>

#include "bounds.h"
#include "sample.h"
#include "vmware.h"

/* A hypervisor of our own: it speaks the protocol and knows some variables. */
struct variable {
	const char *name, *value;
};

struct hypervisor {
	struct backdoor backdoor;
	const struct variable *variables;
	char command[256], reply[4096];
	uint32_t size, at, reply_size, lie;
	bool open;
};

static void answer_command(struct hypervisor *host) {
	strcpy(host->reply, "0 No value found");
	for (const struct variable *v = host->variables; v->name; v++) {
		char command[128];
		snprintf(command, sizeof command, "info-get guestinfo.%s", v->name);
		if (strcmp(command, host->command) == 0)
			snprintf(host->reply, sizeof host->reply, "1 %s", v->value);
	}
	host->reply_size = host->lie ? host->lie : (uint32_t)strlen(host->reply);
	host->at = 0;
}

static uint32_t message(struct hypervisor *host, uint32_t step, struct registers *r) {
	if (step != 0 && (!host->open || r->dx >> 16 != 7 || r->si != 0x1111 || r->di != 0x2222))
		return 0;
	switch (step) {
	case 0:
		CHECK(r->bx == (0x49435052u | 0x80000000u) && !host->open);
		host->open = true;
		*r = (struct registers){.dx = 7u << 16, .si = 0x1111, .di = 0x2222};
		return 1;
	case 1:
		host->size = r->bx;
		host->at = 0;
		memset(host->command, 0, sizeof host->command);
		return host->size < sizeof host->command;
	case 2:
		memcpy(host->command + host->at, &r->bx, 4);
		host->at += 4;
		if (host->at >= host->size)
			answer_command(host);
		return 1;
	case 3:
		r->bx = host->reply_size;
		r->dx = 5u << 16;
		return 3;
	case 4:
		CHECK(r->bx == 5 && host->at + 4 <= sizeof host->reply);
		memcpy(&r->bx, host->reply + host->at, 4);
		host->at += 4;
		return 1;
	case 5:
		CHECK(r->bx == 5);
		return 1;
	default:
		host->open = false;
		return 1;
	}
}

static bool call(struct backdoor *backdoor, struct registers *r) {
	struct hypervisor *host = (struct hypervisor *)backdoor;
	if (r->ax != 0x564d5868 || (r->dx & 0xffff) != 0x5658)
		return false;
	if ((r->cx & 0xffff) == 10) {
		r->bx = 0x564d5868;
		return true;
	}
	r->cx = message(host, r->cx >> 16, r) << 16;
	return true;
}

static bool nobody(struct backdoor *backdoor, struct registers *r) {
	(void)backdoor;
	r->bx = 0xffffffff;
	return true;
}

static void guestinfo(void) {
	/* {"instance-id":"v-1","local-hostname":"vm","public-keys":[KEY_A]}, and a script */
	static const struct variable variables[] = {
	    {"metadata", "{\"instance-id\":\"v-1\",\"local-hostname\":\"vm\",\"public-keys\":[\"" KEY_A "\",7],\"public-keys-data\":\"" KEY_B "\\n\"}"},
	    {"userdata", "IyEvYmluL3NoCg=="},
	    {"userdata.encoding", "base64"},
	    {0},
	};
	struct hypervisor host = {.backdoor = {call}, .variables = variables};
	AUTO(struct answer, answer_done) answer = {0};
	CHECK(vmware_ask(&host.backdoor, "", &answer) == OUTCOME_DONE && answer.complete && !host.open);
	CHECK_TEXT(answer.id, "v-1");
	CHECK_TEXT(answer.host_name, "vm");
	CHECK_TEXT(answer.keys.data, KEY_B "\n" KEY_A "\n");
	CHECK_TEXT(answer.user_data.data, "#!/bin/sh\n");
	AUTO(struct answer, answer_done) again = {0};
	CHECK(vmware_ask(&host.backdoor, "v-1", &again) == OUTCOME_SAME);
}

static void bad_guestinfo(void) {
	static const struct variable variables[] = {
	    {"metadata", "instance-id: yaml"}, {"userdata", "H4sI"}, {"userdata.encoding", "gzip+base64"}, {0}};
	struct hypervisor host = {.backdoor = {call}, .variables = variables};
	AUTO(struct answer, answer_done) answer = {0};
	CHECK(vmware_ask(&host.backdoor, "", &answer) == OUTCOME_DONE);
	CHECK(!answer.id[0] && !answer.user_data.size);
	/* an answer that claims to be larger than anything */
	host.lie = 0xfffffff0;
	AUTO_BLOB out = {0};
	CHECK(!rpci(&host.backdoor, "info-get guestinfo.metadata", USER_DATA_MAX, &out) && !out.size);
	struct backdoor none = {nobody};
	CHECK(vmware_ask(&none, "", &answer) == OUTCOME_FAILED);
}

static const char *property(const char *xml, const char *name) {
	static struct blob out;
	blob_done(&out);
	return ovf_property(xml, strlen(xml), name, &out) ? out.data : NULL;
}

static void ovf(void) {
	static const char xml[] =
	    "<?xml version=\"1.0\"?><Environment xmlns:oe=\"x\"><PropertySection>\n"
	    "<Property oe:key=\"hostname\" oe:value=\"a&amp;b\"/>"
	    "<Property oe:value='>v&quot;' oe:key='second'/><Property oe:key=\"empty\" oe:value=\"\"/>"
	    "<Property oe:keyx=\"no\" oe:value=\"no\"/></PropertySection></Environment>";
	CHECK_TEXT(property(xml, "hostname"), "a&b");
	CHECK_TEXT(property(xml, "second"), ">v\"");
	CHECK_TEXT(property(xml, "empty"), "");
	CHECK(!property(xml, "no") && !property(xml, "host") && !property("", "a"));
	/* cut anywhere, it is read to its end and not beyond */
	for (size_t size = 0; size < sizeof xml; size++) {
		char *exact = malloc(size + 1);
		AUTO_BLOB out = {0};
		memcpy(exact, xml, size);
		ovf_property(exact, size, "empty", &out);
		free(exact);
	}
	CHECK(!property("<Property key=\"a\" value=\"", "a") && !property("<Property ", "a"));
}

int main(void) {
	guestinfo();
	bad_guestinfo();
	ovf();
}
