/* What the compiler does for us: values that go away by themselves, formats that are checked. */
#pragma once

#define AUTO(type, done) __attribute__((cleanup(done))) type
#define PRINTF(words, first) __attribute__((format(printf, words, first)))
#define COUNT(array) (sizeof(array) / sizeof *(array))
