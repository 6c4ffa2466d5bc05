/* What colvert-update can do; each returns whether that was done, and says in `context` what came of it. */
#pragma once

#include "context.h"

bool command_status(struct context *context);
bool command_check(struct context *context);
bool command_update(struct context *context);
bool command_download(struct context *context);
bool command_rollback(struct context *context);
bool command_cancel(struct context *context);
bool command_defaults(struct context *context);
bool command_booted(struct context *context);
bool command_restart(struct context *context);
