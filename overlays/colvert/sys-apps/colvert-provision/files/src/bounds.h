/* How much is taken of what somebody else gives. */
#pragma once

enum {
	USER_DATA_MAX = 1 << 20,
	KEYS_MAX = 64 << 10,
	ID_MAX = 128,
	HOST_NAME_LENGTH = 64,
};
