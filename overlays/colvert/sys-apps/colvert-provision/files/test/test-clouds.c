#include "clouds.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <colvert/check.h>

#include "sample.h"

/* A service that answers from a table; what is not in it is not there. */
struct row {
	const char *path, *text;
	enum got got;
};

struct table {
	struct service service;
	const struct row *rows;
	const char *header;
	unsigned asked, without_header;
};

static enum got look(struct service *service, const struct request *request, struct blob *out) {
	struct table *table = (struct table *)service;
	table->asked++;
	if (table->header && (!request->header || strcmp(request->header, table->header) != 0) && !request->method)
		table->without_header++;
	blob_done(out);
	for (const struct row *row = table->rows; row->path; row++) {
		if (strcmp(row->path, request->path) != 0)
			continue;
		if (row->got == GOT && !blob_add_text(out, row->text, request->limit))
			return GOT_FAILED;
		return row->got;
	}
	return GOT_NONE;
}

#define TOKEN {"/latest/api/token", "secret", GOT}
#define EC2 "/latest/meta-data/"

static void ec2(void) {
	static const struct row rows[] = {
	    TOKEN,
	    {EC2 "instance-id", "i-1", GOT},
	    {EC2 "public-keys/", "0=mine\n1=yours\nx=../../z\n99999=w", GOT},
	    {EC2 "public-keys/0/openssh-key", KEY_A " mine\n", GOT},
	    {EC2 "public-keys/1/openssh-key", KEY_B " yours\n", GOT},
	    {EC2 "local-hostname", "ip-10-0-0-1.internal", GOT},
	    {"/latest/user-data", "#!/bin/sh\n", GOT},
	    {0},
	};
	struct table table = {{look}, rows, "X-aws-ec2-metadata-token: secret", 0, 0};
	AUTO(struct answer, answer_done) answer = {0};
	CHECK(ec2_ask(&table.service, true, "i-0", &answer) == OUTCOME_DONE);
	CHECK(answer.complete && table.without_header == 0);
	CHECK_TEXT(answer.id, "i-1");
	CHECK_TEXT(answer.host_name, "ip-10-0-0-1.internal");
	CHECK_TEXT(answer.keys.data, KEY_A " mine\n" KEY_B " yours\n");
	CHECK_TEXT(answer.user_data.data, "#!/bin/sh\n");

	AUTO(struct answer, answer_done) again = {0};
	table.asked = 0;
	CHECK(ec2_ask(&table.service, true, "i-1", &again) == OUTCOME_SAME);
	CHECK(table.asked == 2 && !again.keys.size);
}

static enum outcome ec2_with(const struct row *rows, bool token, struct answer *answer) {
	struct table table = {{look}, rows, NULL, 0, 0};
	return ec2_ask(&table.service, token, "", answer);
}

static void ec2_bad(void) {
	AUTO(struct answer, answer_done) answer = {0};
	const struct row no_token[] = {{"/latest/api/token", NULL, GOT_REFUSED}, {EC2 "instance-id", "i-1", GOT}, {0}};
	CHECK(ec2_with(no_token, true, &answer) == OUTCOME_FAILED);
	CHECK(ec2_with(no_token, false, &answer) == OUTCOME_DONE && answer.complete);
	const struct row bad_token[] = {{"/latest/api/token", "a\r\nHost: evil", GOT}, {EC2 "instance-id", "i-1", GOT}, {0}};
	CHECK(ec2_with(bad_token, true, &answer) == OUTCOME_FAILED);
	const struct row garbage[] = {TOKEN, {EC2 "instance-id", "<html>\n", GOT}, {0}};
	CHECK(ec2_with(garbage, true, &answer) == OUTCOME_FAILED);
	const struct row dead[] = {{"/latest/api/token", NULL, GOT_FAILED}, {0}};
	CHECK(ec2_with(dead, false, &answer) == OUTCOME_FAILED);
	const struct row half[] = {TOKEN, {EC2 "instance-id", "i-1", GOT}, {"/latest/user-data", NULL, GOT_FAILED}, {0}};
	CHECK(ec2_with(half, true, &answer) == OUTCOME_DONE && !answer.complete);
	const struct row hostile[] = {
	    TOKEN,
	    {EC2 "instance-id", "i-1", GOT},
	    {EC2 "public-keys/", "0=\x1b[2J\n0\n", GOT},
	    {EC2 "public-keys/0/openssh-key", "command=\"x\" " KEY_A "\n" KEY_B " a\x01\n", GOT},
	    {EC2 "local-hostname", "a\nb", GOT},
	    {0},
	};
	AUTO(struct answer, answer_done) other = {0};
	CHECK(ec2_with(hostile, true, &other) == OUTCOME_DONE);
	CHECK(!other.keys.size && !other.host_name[0] && other.tally.refused == 4);
}

#define GCE "/computeMetadata/v1/"

static const char *gce_keys_of(const char *block, enum got got) {
	static struct answer answer;
	const struct row rows[] = {
	    {GCE "instance/id", "123", GOT},
	    {GCE "instance/hostname", "m.c.p.internal", GOT},
	    {GCE "instance/attributes/ssh-keys", "a:" KEY_A "\n", GOT},
	    {GCE "project/attributes/ssh-keys", "b:" KEY_B "\n", GOT},
	    {GCE "instance/attributes/block-project-ssh-keys", block, got},
	    {0},
	};
	struct table table = {{look}, rows, "Metadata-Flavor: Google", 0, 0};
	answer_done(&answer);
	answer = (struct answer){0};
	CHECK(gce_ask(&table.service, "", &answer) == OUTCOME_DONE && table.without_header == 0);
	CHECK(answer.complete == (got == GOT || got == GOT_NONE));
	CHECK_TEXT(answer.host_name, "m.c.p.internal");
	return answer.keys.data;
}

static void gce(void) {
	CHECK_TEXT(gce_keys_of("", GOT_NONE), KEY_A "\n" KEY_B "\n");
	CHECK_TEXT(gce_keys_of("FALSE\n", GOT), KEY_A "\n" KEY_B "\n");
	CHECK_TEXT(gce_keys_of("TRUE", GOT), KEY_A "\n");
	CHECK_TEXT(gce_keys_of("perhaps", GOT), KEY_A "\n");
	CHECK_TEXT(gce_keys_of("", GOT_FAILED), KEY_A "\n");
}

#define UUID "83679162-1378-4288-a2d4-70e13ec132aa"
#define METADATA                                                                                               \
	"{\"uuid\":\"" UUID "\",\"hostname\":\"web\",\"name\":\"other\",\"public_keys\":{\"k\":\"" KEY_A       \
	" k\\n\",\"l\":7},\"meta\":{}}"

static bool metadata(const char *text) {
	AUTO(struct answer, answer_done) answer = {0};
	return openstack_metadata(text, strlen(text), &answer);
}

static void openstack(void) {
	const struct row rows[] = {
	    {"/openstack/latest/meta_data.json", METADATA, GOT}, {"/openstack/latest/user_data", "{}", GOT}, {0}};
	struct table table = {{look}, rows, NULL, 0, 0};
	AUTO(struct answer, answer_done) answer = {0};
	CHECK(openstack_ask(&table.service, "", &answer) == OUTCOME_DONE && answer.complete);
	CHECK_TEXT(answer.id, UUID);
	CHECK_TEXT(answer.host_name, "web");
	CHECK_TEXT(answer.keys.data, KEY_A " k\n");
	CHECK_TEXT(answer.user_data.data, "{}");
	CHECK(openstack_ask(&table.service, UUID, &answer) == OUTCOME_SAME);

	static const char *const bad[] = {
	    "", "{}", "[]", "<html>", "{\"uuid\":7}", "{\"uuid\":\"a/b\"}", "{\"uuid\":\"a\\u0000b\"}",
	    "{\"uuid\":\"" UUID "\"} x", "{\"uuid\":\"\xff\"}",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!metadata(bad[i]));
	CHECK(metadata("{\"uuid\":\"" UUID "\",\"public_keys\":[],\"hostname\":[]}"));
	AUTO_BLOB deep = {0};
	CHECK(blob_add_text(&deep, "{\"uuid\":\"a\",\"x\":", 1 << 20));
	for (int i = 0; i < 100000; i++)
		CHECK(blob_add_text(&deep, "{\"a\":", 1 << 20));
	CHECK(!metadata(deep.data));
}

static void config_drive(void) {
	char name[] = "/tmp/test-clouds.XXXXXX";
	CHECK(mkdtemp(name));
	AUTO_FD dir = open(name, O_RDONLY | O_DIRECTORY);
	AUTO(struct answer, answer_done) answer = {0};
	CHECK(openstack_read(dir, "", &answer) == OUTCOME_FAILED);
	CHECK(make_parents(dir, "openstack/latest/x", 0755) == 0);
	CHECK(write_file(dir, "openstack/latest/meta_data.json", METADATA, strlen(METADATA), 0600) == 0);
	CHECK(openstack_read(dir, "", &answer) == OUTCOME_DONE && answer.complete && !answer.user_data.size);
	CHECK(openstack_read(dir, UUID, &answer) == OUTCOME_SAME);
	/* a link that leads out of the drive is not followed */
	CHECK(symlinkat("/etc/passwd", dir, "openstack/latest/user_data") == 0);
	CHECK(openstack_read(dir, "", &answer) == OUTCOME_DONE && !answer.user_data.size);
	CHECK(unlinkat(dir, "openstack/latest/user_data", 0) == 0);
	CHECK(write_file(dir, "openstack/latest/user_data", "#!/x\n", 5, 0600) == 0);
	CHECK(openstack_read(dir, "", &answer) == OUTCOME_DONE && answer.user_data.size == 5);
	unlinkat(dir, "openstack/latest/user_data", 0);
	unlinkat(dir, "openstack/latest/meta_data.json", 0);
	unlinkat(dir, "openstack/latest", AT_REMOVEDIR);
	unlinkat(dir, "openstack", AT_REMOVEDIR);
	CHECK(rmdir(name) == 0);
}

int main(void) {
	ec2();
	ec2_bad();
	gce();
	openstack();
	config_drive();
}
