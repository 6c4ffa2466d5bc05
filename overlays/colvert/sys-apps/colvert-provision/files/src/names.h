/* Names that come from outside: what is a good one, and where a credential of that name goes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <colvert/util.h>

#include "bounds.h"

/* Takes a host name as RFC 1123 has it, in lower case. One that is too long for the kernel is cut
 * at its first dot. False where it is none: an address, say, or `localhost`. */
bool host_name_accept(const char *text, size_t size, char out[HOST_NAME_LENGTH + 1]);

/* An instance id is compared and written to a file, so it holds no more than letters, digits and ._:- */
bool instance_id_accept(const char *text, size_t size, char out[ID_MAX + 1]);

bool credential_name_valid(const char *name);
bool unit_name_valid(const char *name);

/* The path (below the root) of the file that a credential becomes; false where the name is refused.
 * Units and their drop-ins have no consumer after boot, so they are put where units are. */
enum place { PLACE_CREDENTIAL, PLACE_UNIT };
bool credential_path(const char *name, bool encrypted, enum place *place, char *out, size_t room);
