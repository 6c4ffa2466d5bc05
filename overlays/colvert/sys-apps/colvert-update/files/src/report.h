/* What a command tells, in words for people or as one JSON object. */
#pragma once

#include "context.h"

void report_json(const struct context *context, bool good);
void report_words(const struct context *context, bool good);
