/* Which platform this machine runs on: from its firmware's tables, else from the OEM partition. */
#pragma once

#include <colvert/util.h>

/* How a platform tells its machines what they are. */
enum source {
	SOURCE_LOCAL,         /* credentials of the hypervisor, files of the OEM partition */
	SOURCE_EC2,           /* metadata service with a token (IMDSv2) */
	SOURCE_EC2_NO_TOKEN,  /* the same, where the token may be unknown */
	SOURCE_GCE,
	SOURCE_OPENSTACK,     /* config drive, else metadata service */
	SOURCE_VMWARE,        /* guestinfo */
	SOURCE_VAGRANT,       /* the key of the OEM partition */
};

struct platform {
	const char *name;
	enum source source;
};

struct dmi {
	struct blob sys_vendor, product_name, board_vendor, chassis_asset_tag, bios_vendor, bios_version;
};

void dmi_done(struct dmi *dmi);
void dmi_read(int root, struct dmi *dmi);

/* The platform that the firmware names; NULL where it only names a hypervisor, or nobody. */
const struct platform *platform_from_dmi(const struct dmi *dmi);
/* The platform whose ID= stands in an oem-release file; NULL where there is none that we know. */
const struct platform *platform_from_oem(const char *text);
/* Both together: Vagrant's boxes run on hypervisors that are somebody else's platform. */
const struct platform *platform_choose(const struct platform *dmi, const struct platform *oem);
