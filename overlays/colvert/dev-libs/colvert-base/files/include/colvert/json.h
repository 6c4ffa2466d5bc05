/* json-c with our limits: valid UTF-8, little depth, nothing behind the end. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

void json_done(struct json_object **object);
#define AUTO_JSON __attribute__((cleanup(json_done))) struct json_object

/* A document whose top is an object, or NULL. */
struct json_object *json_read(const char *data, size_t size);

/* A member that is a string; false where it is missing or something else. */
bool json_text(struct json_object *object, const char *name, const char **text, size_t *size);
