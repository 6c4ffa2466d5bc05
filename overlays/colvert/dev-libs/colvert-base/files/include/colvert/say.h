/* Words for the journal. */
#pragma once

#include <colvert/auto.h>

enum level { LEVEL_WARNING = 4, LEVEL_NOTICE = 5, LEVEL_INFO = 6 };

/* One line for the journal. Nothing secret and nothing unchecked may be in it. */
void say(enum level level, const char *format, ...) PRINTF(2, 3);
