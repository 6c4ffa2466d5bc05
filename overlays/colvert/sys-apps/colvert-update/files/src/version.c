#include "version.h"

#include <string.h>

#include <colvert/util.h>

static bool is_digit(char c) {
	return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
	return is_alnum(c) && !is_digit(c);
}

static bool counts(char c) {
	return is_alnum(c) || c == '-' || c == '.' || c == '~' || c == '^';
}

static int order(size_t a, size_t b) {
	return (a > b) - (a < b);
}

static size_t span(const char *text, bool (*of)(char)) {
	size_t length = 0;
	while (of(text[length]))
		length++;
	return length;
}

/* A separator that only one has makes that one the lower; where both have it, both leave it behind. */
static int separator(const char **a, const char **b, char c) {
	if (**a != c && **b != c)
		return 0;
	int result = order(**a != c, **b != c);
	if (result == 0) {
		++*a;
		++*b;
	}
	return result;
}

static int numbers(const char **a, const char **b) {
	size_t in_a = span(*a, is_digit), in_b = span(*b, is_digit);
	const char *end_a = *a + in_a, *end_b = *b + in_b;
	/* no number is less than any, 0 included */
	int result = order(in_a != 0, in_b != 0);
	if (result)
		return result;
	while (**a == '0')
		++*a;
	while (**b == '0')
		++*b;
	result = order((size_t)(end_a - *a), (size_t)(end_b - *b));
	if (result == 0)
		result = memcmp(*a, *b, (size_t)(end_a - *a));
	*a = end_a;
	*b = end_b;
	return result;
}

static int letters(const char **a, const char **b) {
	size_t in_a = span(*a, is_letter), in_b = span(*b, is_letter);
	int result = memcmp(*a, *b, in_a < in_b ? in_a : in_b);
	if (result == 0)
		result = order(in_a, in_b);
	*a += in_a;
	*b += in_b;
	return result;
}

int version_compare(const char *a, const char *b) {
	for (;;) {
		while (*a && !counts(*a))
			a++;
		while (*b && !counts(*b))
			b++;
		int result = separator(&a, &b, '~');
		if (result)
			return result;
		if (!*a || !*b)
			return order(*a != '\0', *b != '\0');
		for (const char *c = "-^."; *c; c++) {
			result = separator(&a, &b, *c);
			if (result)
				return result;
		}
		result = is_digit(*a) || is_digit(*b) ? numbers(&a, &b) : letters(&a, &b);
		if (result)
			return result;
	}
}

bool version_valid(const char *text) {
	size_t length = strlen(text);
	if (length >= 40 || !is_digit(text[0]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_alnum(text[i]) && (text[i] != '.' || !is_alnum(text[i + 1])))
			return false;
	return true;
}
