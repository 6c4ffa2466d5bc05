/* Where each cloud keeps what its machines should know. */
#pragma once

#include "answer.h"
#include "service.h"

enum outcome {
	OUTCOME_DONE,   /* the answer is there, perhaps not complete */
	OUTCOME_SAME,   /* an instance that was provisioned before */
	OUTCOME_FAILED, /* it could not even be learned which instance this is */
};

/* `known` is the id of the last complete run, or empty: for that one nothing more is asked. */
enum outcome ec2_ask(struct service *service, bool token_needed, const char *known, struct answer *answer);
enum outcome gce_ask(struct service *service, const char *known, struct answer *answer);
enum outcome openstack_ask(struct service *service, const char *known, struct answer *answer);

/* The config drive, mounted at `dir`; OUTCOME_FAILED where it holds no meta_data.json. */
enum outcome openstack_read(int dir, const char *known, struct answer *answer);
/* meta_data.json, whichever way it came. */
bool openstack_metadata(const char *data, size_t size, struct answer *answer);
