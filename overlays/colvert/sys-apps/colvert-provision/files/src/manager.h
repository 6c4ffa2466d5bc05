/* The service manager, asked by its own program. */
#pragma once

#include "apply.h"

/* systemctl VERB [UNIT]; a failure is said and no more. Where the target is not live the words are
 * written to run/manager instead, for tests. */
void manager_call(const struct target *target, const char *verb, const char *unit);
