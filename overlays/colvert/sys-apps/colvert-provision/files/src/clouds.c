#include "clouds.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <colvert/json.h>
#include <colvert/say.h>

#include "bounds.h"
#include "names.h"

enum { SMALL = 4096, METADATA_MAX = 256 << 10 };

/* Asks for a part of the answer; a question that stays open makes the answer incomplete. */
static bool part(
    struct service *service, struct answer *answer, const char *path, const char *header, size_t limit,
    struct blob *out) {
	enum got got = service->ask(service, &(struct request){NULL, path, header, limit}, out);
	if (got == GOT_FAILED || got == GOT_REFUSED)
		answer->complete = false;
	return got == GOT;
}

static enum outcome take_id(struct answer *answer, const char *known, const struct blob *id) {
	if (!instance_id_accept(id->data, id->size, answer->id)) {
		say(LEVEL_WARNING, "What the platform gives as instance id is not one.");
		return OUTCOME_FAILED;
	}
	return known[0] && strcmp(known, answer->id) == 0 ? OUTCOME_SAME : OUTCOME_DONE;
}

/* EC2 */

#define EC2 "/latest/meta-data/"

static bool ec2_token(struct service *service, bool needed, char *header, size_t room) {
	AUTO_BLOB token = {0};
	const struct request request = {
	    "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 300", SMALL / 4};
	enum got got = service->ask(service, &request, &token);
	header[0] = '\0';
	if (got != GOT)
		/* who does not know tokens may do without them, where that is the platform's way */
		return !needed && got != GOT_FAILED;
	return token.size && is_printable(token.data, token.size) &&
	       snprintf(header, room, "X-aws-ec2-metadata-token: %s", token.data) < (int)room;
}

/* public-keys/ lists NUMBER=NAME; the number is all that the next question needs. */
static void ec2_keys(struct service *service, struct answer *answer, const char *header) {
	AUTO_BLOB list = {0};
	if (!part(service, answer, EC2 "public-keys/", header, SMALL, &list))
		return;
	char *rest = list.data, *line;
	for (unsigned count = 0; (line = strsep(&rest, "\n")) && count < 32; count++) {
		size_t digits = strspn(line, "0123456789");
		char path[64];
		AUTO_BLOB key = {0};
		if (digits == 0 || digits > 4 || (line[digits] != '=' && line[digits] != '\0'))
			continue;
		snprintf(path, sizeof path, EC2 "public-keys/%.*s/openssh-key", (int)digits, line);
		if (part(service, answer, path, header, KEYS_MAX, &key))
			keys_add(&answer->keys, key.data, key.size, &answer->tally);
	}
}

enum outcome ec2_ask(struct service *service, bool token_needed, const char *known, struct answer *answer) {
	char token[SMALL / 2];
	AUTO_BLOB id = {0};
	AUTO_BLOB name = {0};
	answer->complete = true;
	if (!ec2_token(service, token_needed, token, sizeof token))
		return OUTCOME_FAILED;
	const char *header = token[0] ? token : NULL;
	if (!part(service, answer, EC2 "instance-id", header, SMALL, &id))
		return OUTCOME_FAILED;
	enum outcome outcome = take_id(answer, known, &id);
	if (outcome != OUTCOME_DONE)
		return outcome;
	ec2_keys(service, answer, header);
	if (part(service, answer, EC2 "local-hostname", header, SMALL, &name))
		answer_host_name(answer, name.data, name.size);
	part(service, answer, "/latest/user-data", header, USER_DATA_MAX, &answer->user_data);
	return OUTCOME_DONE;
}

/* GCE */

#define GCE "/computeMetadata/v1/"
#define GCE_HEADER "Metadata-Flavor: Google"

static bool gce_part(
    struct service *service, struct answer *answer, const char *path, size_t limit, struct blob *out) {
	return part(service, answer, path, GCE_HEADER, limit, out);
}

static void gce_keys(struct service *service, struct answer *answer) {
	AUTO_BLOB own = {0};
	AUTO_BLOB project = {0};
	AUTO_BLOB block = {0};
	if (gce_part(service, answer, GCE "instance/attributes/ssh-keys", KEYS_MAX, &own))
		keys_add_gce(&answer->keys, own.data, own.size, &answer->tally);
	const struct request request = {NULL, GCE "instance/attributes/block-project-ssh-keys", GCE_HEADER, SMALL};
	enum got got = service->ask(service, &request, &block);
	if (got == GOT)
		blob_trim(&block);
	else if (got != GOT_NONE)
		answer->complete = false;
	/* who may not be let in is not let in because a question stayed open */
	if (got != GOT_NONE && (got != GOT || strcasecmp(block.data, "false") != 0))
		return;
	if (gce_part(service, answer, GCE "project/attributes/ssh-keys", KEYS_MAX, &project))
		keys_add_gce(&answer->keys, project.data, project.size, &answer->tally);
}

enum outcome gce_ask(struct service *service, const char *known, struct answer *answer) {
	AUTO_BLOB id = {0};
	AUTO_BLOB name = {0};
	answer->complete = true;
	if (!gce_part(service, answer, GCE "instance/id", SMALL, &id))
		return OUTCOME_FAILED;
	enum outcome outcome = take_id(answer, known, &id);
	if (outcome != OUTCOME_DONE)
		return outcome;
	gce_keys(service, answer);
	if (gce_part(service, answer, GCE "instance/hostname", SMALL, &name))
		answer_host_name(answer, name.data, name.size);
	gce_part(service, answer, GCE "instance/attributes/user-data", USER_DATA_MAX, &answer->user_data);
	return OUTCOME_DONE;
}

/* OpenStack */

static void add_key(struct answer *answer, struct json_object *value) {
	if (json_object_is_type(value, json_type_string))
		keys_add(&answer->keys, json_object_get_string(value), (size_t)json_object_get_string_len(value),
		         &answer->tally);
}

bool openstack_metadata(const char *data, size_t size, struct answer *answer) {
	AUTO_JSON *document = json_read(data, size);
	struct json_object *keys;
	const char *text;
	size_t length;
	if (!document || !json_text(document, "uuid", &text, &length) ||
	    !instance_id_accept(text, length, answer->id))
		return false;
	if (json_text(document, "hostname", &text, &length) || json_text(document, "name", &text, &length))
		answer_host_name(answer, text, length);
	if (json_object_object_get_ex(document, "public_keys", &keys) &&
	    json_object_is_type(keys, json_type_object)) {
		json_object_object_foreach(keys, name, value) {
			(void)name;
			add_key(answer, value);
		}
	}
	return true;
}

static enum outcome openstack_take(const struct blob *metadata, const char *known, struct answer *answer) {
	if (!openstack_metadata(metadata->data, metadata->size, answer)) {
		say(LEVEL_WARNING, "What the platform gives as meta_data.json is not that.");
		return OUTCOME_FAILED;
	}
	return known[0] && strcmp(known, answer->id) == 0 ? OUTCOME_SAME : OUTCOME_DONE;
}

enum outcome openstack_ask(struct service *service, const char *known, struct answer *answer) {
	AUTO_BLOB metadata = {0};
	answer->complete = true;
	if (!part(service, answer, "/openstack/latest/meta_data.json", NULL, METADATA_MAX, &metadata))
		return OUTCOME_FAILED;
	enum outcome outcome = openstack_take(&metadata, known, answer);
	if (outcome == OUTCOME_DONE)
		part(service, answer, "/openstack/latest/user_data", NULL, USER_DATA_MAX, &answer->user_data);
	return outcome;
}

enum outcome openstack_read(int dir, const char *known, struct answer *answer) {
	AUTO_BLOB metadata = {0};
	if (read_file(dir, "openstack/latest/meta_data.json", METADATA_MAX, &metadata) < 0)
		return OUTCOME_FAILED;
	enum outcome outcome = openstack_take(&metadata, known, answer);
	answer->complete = true;
	if (outcome == OUTCOME_DONE &&
	    read_file(dir, "openstack/latest/user_data", USER_DATA_MAX, &answer->user_data) < 0)
		blob_done(&answer->user_data);
	return outcome;
}
