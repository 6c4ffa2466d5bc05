/* A server of one release, each part whole and as a delta, which does to its files what a test wants. */
#pragma once

#include "install.h"
#include "scene.h"

enum { WHOLE, DELTA, FILES = 2 };
enum { GOOD, DAMAGED, CUT, MISSING, WRONG };

struct server {
	struct release release;
	struct way ways[PARTS][FILES];
	struct blob files[PARTS][FILES];
	int how[PARTS][FILES];
	int asked[PARTS][FILES];
};

/* Deltas start from `old`. */
void server_make(struct server *server, const struct image *image, const struct image *old);
void server_done(struct server *server);
/* What the network half checks, it does not let through; so what is damaged here is a file whose
 * digest the index has, and which still is not what it should be. */
int server_obtain(void *context, const struct way *way, struct problem *p);
