/* User data: what form it has, and the credentials of the JSON form. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <colvert/util.h>

enum user_data { USER_DATA_NONE, USER_DATA_SCRIPT, USER_DATA_CREDENTIALS, USER_DATA_UNKNOWN };

enum user_data user_data_form(const char *data, size_t size);

struct credential {
	const char *name;
	/* where encrypted: Base64, as systemd reads it from /etc/credstore.encrypted */
	const char *data;
	size_t size;
	bool encrypted;
};

/* Called for each good credential of a document, in order. */
typedef void (*credential_sink)(void *context, const struct credential *credential);

/* Reads {"systemd.credentials": [{"name", "text" | "data" | "encrypted"}]}; other members are left
 * alone. False where the text is no such document; `refused` counts the entries that are no good. */
bool user_data_credentials(
    const char *data, size_t size, credential_sink sink, void *context, unsigned *refused);
