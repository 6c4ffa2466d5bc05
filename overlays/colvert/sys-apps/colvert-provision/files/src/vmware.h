/* VMware: guestinfo variables, by the hypervisor's own channel (RPCI over its I/O port). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "clouds.h"

/* The registers that carry a message in and out. */
struct registers {
	uint32_t ax, bx, cx, dx, si, di;
};

/* The port itself; tests put a hypervisor of their own in its place. False: nobody is there. */
struct backdoor {
	bool (*call)(struct backdoor *backdoor, struct registers *registers);
};

/* Sends one RPCI command and takes its answer without the status in front; false where it failed. */
bool rpci(struct backdoor *backdoor, const char *command, size_t limit, struct blob *out);

enum outcome vmware_ask(struct backdoor *backdoor, const char *known, struct answer *answer);

/* The real port, asked from a child process, since where no VMware is it kills who touches it. */
enum outcome vmware_ask_port(const char *known, struct answer *answer);

/* The value of one property of an OVF environment document. */
bool ovf_property(const char *xml, size_t size, const char *name, struct blob *out);
