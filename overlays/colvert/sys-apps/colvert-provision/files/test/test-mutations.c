/* Every parser on good input with bytes of it changed, cut and doubled. There is nothing to expect but
 * that they come back, and that what they took is clean; a sanitizer sees the rest. The numbers
 * are the same in every run; MUTATIONS in the environment asks for more of them. */
#include <stdint.h>

#include <colvert/base64.h>
#include <colvert/check.h>

#include "bounds.h"
#include "clouds.h"
#include "names.h"
#include "platform.h"
#include "sample.h"
#include "userdata.h"
#include "vmware.h"

static const char *const seeds[] = {
    "{\"systemd.credentials\":[{\"name\":\"a.b\",\"text\":\"x\\u00e4\"},{\"name\":\"systemd.unit-dropin.a.service~10-b\","
    "\"data\":\"Zm9vYmFy\"},{\"name\":\"c\",\"encrypted\":\"Zm9v\"}],\"x\":[1,-2.5e3,null,true]}",
    "{\"uuid\":\"83679162-1378-4288-a2d4-70e13ec132aa\",\"hostname\":\"web.example.org\",\"public_keys\":{\"k\":\"" KEY_A
    " k\\n\"}}",
    KEY_A " one\n# two\nalice:" KEY_B " google-ssh {\"expireOn\":\"x\"}\nbob:" KEY_B "\r\n",
    "<Environment><PropertySection><Property oe:key=\"hostname\" oe:value=\"a&amp;b\"/><Property oe:value='v' "
    "oe:key='user-data'/></PropertySection></Environment>",
    "web-1.eu-west-1.compute.internal\n",
    "NAME=\"x\"\nID=\"vagrant\"\n",
    "#!/bin/sh\necho \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n",
};

static uint32_t number(uint64_t *state) {
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void mutate(struct blob *text, uint64_t *state) {
	static const char spice[] = "\0\"'{}[]:,=~/.\\\n\r\x1b\x7f\xff\x80&<> a0";
	for (uint32_t count = 1 + number(state) % 6; count && text->size; count--) {
		size_t at = number(state) % text->size;
		switch (number(state) % 4) {
		case 0:
			text->data[at] = spice[number(state) % (sizeof spice - 1)];
			break;
		case 1:
			text->data[at] = (char)number(state);
			break;
		case 2: {
			/* a part of it again, at its end */
			AUTO_BLOB part = {0};
			CHECK(blob_add(&part, text->data + at, text->size - at, 1 << 16));
			blob_add(text, part.data, part.size, 1 << 14);
			break;
		}
		default:
			text->size = at;
			text->data[at] = '\0';
		}
	}
}

static void look(void *context, const struct credential *credential) {
	enum place where;
	char path[640];
	(void)context;
	if (credential_path(credential->name, credential->encrypted, &where, path, sizeof path))
		CHECK(starts_with(path, "etc/") && !strstr(path, "/../") && !strstr(path, "//") &&
		      is_printable(path, strlen(path)));
}

static void keys_clean(const struct blob *keys) {
	for (size_t i = 0; i < keys->size; i++)
		CHECK(keys->data[i] == '\n' || is_printable(keys->data + i, 1));
	CHECK(keys->size == 0 || (keys->data[keys->size - 1] == '\n' && keys->size <= KEYS_MAX));
}

static void feed(const struct blob *text) {
	/* exactly as large as it is: one byte further is a fault */
	char *exact = malloc(text->size ? text->size : 1);
	CHECK(exact);
	if (text->size)
		memcpy(exact, text->data, text->size);
	AUTO(struct answer, answer_done) answer = {0};
	AUTO_BLOB out = {0};
	AUTO_BLOB keys = {0};
	struct tally tally = {0};
	unsigned refused;
	char name[HOST_NAME_LENGTH + 1] = "", id[ID_MAX + 1];
	if (user_data_form(exact, text->size) == USER_DATA_CREDENTIALS)
		user_data_credentials(exact, text->size, look, NULL, &refused);
	openstack_metadata(exact, text->size, &answer);
	keys_clean(&answer.keys);
	keys_add(&keys, exact, text->size, &tally);
	keys_add_gce(&keys, exact, text->size, &tally);
	keys_clean(&keys);
	ovf_property(exact, text->size, "user-data", &out);
	base64_decode(exact, text->size, true, 1 << 16, &out);
	if (host_name_accept(exact, text->size, name))
		CHECK(name[0] && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(name));
	instance_id_accept(exact, text->size, id);
	platform_from_oem(text->data ? text->data : "");
	free(exact);
}

int main(void) {
	const char *asked = getenv("MUTATIONS");
	long rounds = asked ? atol(asked) : 2000;
	uint64_t state = 42;
	for (long i = 0; i < rounds; i++) {
		for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
			AUTO_BLOB text = {0};
			CHECK(blob_add_text(&text, seeds[s], 1 << 14));
			mutate(&text, &state);
			feed(&text);
		}
	}
}
