/* The restart into a release that is installed: when, and by whom. */
#pragma once

#include "context.h"
#include "machine.h"
#include "settings.h"

bool restart_now(const struct machine *machine, const struct settings *settings, struct problem *p);
/* Does what REBOOT= says; `at_once` is --reboot. `what` gets the sentence's second half. */
bool restart_by_policy(
    struct context *context, const struct machine *machine, const struct settings *settings, bool at_once, const char **what);
/* Whether the last restart that was planned is for the window of the settings. */
bool restart_in_window(const struct context *context, const struct settings *settings);
/* Forgets a restart that waits for its window. */
void restart_forget(const struct context *context);
