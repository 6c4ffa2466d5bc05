#include "answer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <colvert/say.h>

#include "bounds.h"
#include "names.h"

void answer_done(struct answer *answer) {
	blob_done(&answer->keys);
	blob_done(&answer->user_data);
}

void answer_host_name(struct answer *answer, const char *text, size_t size) {
	if (size && !host_name_accept(text, size, answer->host_name))
		say(LEVEL_WARNING, "The host name that the platform gives is not one; it is left alone.");
}

bool answer_empty(const struct answer *answer) {
	return !answer->id[0] && !answer->host_name[0] && !answer->keys.size && !answer->user_data.size;
}

static int save(int dir, const char *name, const char *data, size_t size) {
	return write_file(dir, name, data ? data : "", size, 0600);
}

int answer_save(int dir, const struct answer *answer) {
	int status = save(dir, "id", answer->id, strlen(answer->id));
	if (status == 0)
		status = save(dir, "hostname", answer->host_name, strlen(answer->host_name));
	if (status == 0)
		status = save(dir, "keys", answer->keys.data, answer->keys.size);
	if (status == 0)
		status = save(dir, "user-data", answer->user_data.data, answer->user_data.size);
	if (status == 0 && answer->vagrant)
		status = save(dir, "vagrant", "", 0);
	if (status == 0 && answer->complete)
		status = save(dir, "complete", "", 0);
	return status == 0 ? save(dir, "ready", "", 0) : status;
}

static bool exists(int dir, const char *name) {
	return faccessat(dir, name, F_OK, 0) == 0;
}

int answer_load(int dir, struct answer *answer) {
	AUTO_BLOB id = {0};
	AUTO_BLOB host_name = {0};
	AUTO_BLOB keys = {0};
	*answer = (struct answer){.vagrant = exists(dir, "vagrant"), .complete = exists(dir, "complete")};
	int status = exists(dir, "ready") ? read_file(dir, "id", ID_MAX, &id) : -ENOENT;
	if (status == 0)
		status = read_file(dir, "hostname", HOST_NAME_LENGTH, &host_name);
	if (status == 0)
		status = read_file(dir, "keys", KEYS_MAX, &keys);
	if (status == 0)
		status = read_file(dir, "user-data", USER_DATA_MAX, &answer->user_data);
	if (status < 0)
		return status;
	if (id.size && !instance_id_accept(id.data, id.size, answer->id))
		return -EBADMSG;
	answer_host_name(answer, host_name.data, host_name.size);
	keys_add(&answer->keys, keys.data, keys.size, &answer->tally);
	return 0;
}
