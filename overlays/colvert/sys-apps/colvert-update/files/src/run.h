/* Other programs: started with the words given, waited for. */
#pragma once

/* Exit status; 128 + the signal that ended it; negative errno where it did not start. */
int run(const char *const words[]);
