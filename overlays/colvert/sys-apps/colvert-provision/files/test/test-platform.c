#include <colvert/check.h>

#include "platform.h"

static const char *dmi(const char *vendor, const char *product, const char *asset, const char *bios) {
	struct dmi dmi = {
	    .sys_vendor = {(char *)vendor, strlen(vendor)},
	    .product_name = {(char *)product, strlen(product)},
	    .chassis_asset_tag = {(char *)asset, strlen(asset)},
	    .bios_version = {(char *)bios, strlen(bios)},
	};
	const struct platform *found = platform_from_dmi(&dmi);
	return found ? found->name : "none";
}

static const char *oem(const char *text) {
	const struct platform *found = platform_from_oem(text);
	return found ? found->name : "none";
}

int main(void) {
	CHECK_TEXT(dmi("Amazon EC2", "c5.large", "", "1.0"), "ec2");
	CHECK_TEXT(dmi("Xen", "HVM domU", "", "4.11.amazon"), "ec2");
	CHECK_TEXT(dmi("Google", "Google Compute Engine", "", ""), "gce");
	CHECK_TEXT(dmi("OpenStack Foundation", "OpenStack Nova", "", ""), "openstack");
	CHECK_TEXT(dmi("Red Hat", "OpenStack Compute", "", ""), "openstack");
	CHECK_TEXT(dmi("QEMU", "Standard PC", "OpenTelekomCloud", ""), "openstack");
	CHECK_TEXT(dmi("VMware, Inc.", "VMware7,1", "", ""), "vmware");
	CHECK_TEXT(dmi("QEMU", "Standard PC (Q35 + ICH9, 2009)", "", ""), "none");
	CHECK_TEXT(dmi("innotek GmbH", "VirtualBox", "", ""), "none");
	CHECK_TEXT(dmi("Amazon EC2 ", "", "", ""), "none");
	CHECK(!platform_from_dmi(&(struct dmi){0}));

	CHECK_TEXT(oem("ID=qemu\nNAME=\"QEMU\"\n"), "qemu");
	CHECK_TEXT(oem("NAME=x\nID=\"vagrant\"\n"), "vagrant");
	CHECK_TEXT(oem("ID=brightbox"), "brightbox");
	CHECK_TEXT(oem(""), "none");
	CHECK_TEXT(oem("ID="), "none");
	CHECK_TEXT(oem("XID=qemu\n"), "none");
	CHECK_TEXT(oem("ID=../../etc/passwd\n"), "none");
	CHECK_TEXT(oem("ID=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"), "none");

	const struct platform *vmware = platform_from_oem("ID=vmware"), *vagrant = platform_from_oem("ID=vagrant");
	const struct platform *ec2 = platform_from_oem("ID=ec2");
	CHECK(platform_choose(vmware, vagrant) == vagrant);
	CHECK(platform_choose(vmware, ec2) == vmware);
	CHECK(platform_choose(ec2, vagrant) == ec2);
	CHECK(platform_choose(NULL, vagrant) == vagrant);
	CHECK(!platform_choose(NULL, NULL));
}
