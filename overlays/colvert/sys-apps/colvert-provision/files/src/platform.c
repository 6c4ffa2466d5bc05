#include "platform.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { FIELD_MAX = 256 };

static const struct platform platforms[] = {
    {"ec2", SOURCE_EC2},           {"gce", SOURCE_GCE},
    {"openstack", SOURCE_OPENSTACK}, {"vmware", SOURCE_VMWARE},
    {"vagrant", SOURCE_VAGRANT},   {"brightbox", SOURCE_EC2_NO_TOKEN},
    {"eucalyptus", SOURCE_EC2_NO_TOKEN}, {"rackspace", SOURCE_OPENSTACK},
    {"qemu", SOURCE_LOCAL},        {"libvirt", SOURCE_LOCAL},
};

static const struct platform *by_name(const char *name) {
	for (size_t i = 0; i < sizeof platforms / sizeof *platforms; i++)
		if (strcmp(platforms[i].name, name) == 0)
			return &platforms[i];
	return NULL;
}

void dmi_done(struct dmi *dmi) {
	blob_done(&dmi->sys_vendor);
	blob_done(&dmi->product_name);
	blob_done(&dmi->board_vendor);
	blob_done(&dmi->chassis_asset_tag);
	blob_done(&dmi->bios_vendor);
	blob_done(&dmi->bios_version);
}

static void read_field(int root, const char *name, struct blob *out) {
	char path[64];
	snprintf(path, sizeof path, "sys/class/dmi/id/%s", name);
	if (read_file(root, path, FIELD_MAX, out) < 0)
		blob_done(out);
	blob_trim(out);
}

void dmi_read(int root, struct dmi *dmi) {
	*dmi = (struct dmi){0};
	read_field(root, "sys_vendor", &dmi->sys_vendor);
	read_field(root, "product_name", &dmi->product_name);
	read_field(root, "board_vendor", &dmi->board_vendor);
	read_field(root, "chassis_asset_tag", &dmi->chassis_asset_tag);
	read_field(root, "bios_vendor", &dmi->bios_vendor);
	read_field(root, "bios_version", &dmi->bios_version);
}

enum match { MATCH_WHOLE, MATCH_START, MATCH_END };

/* The first rule that fits decides. */
struct rule {
	size_t field;
	enum match match;
	const char *text, *platform;
};

#define FIELD(name) offsetof(struct dmi, name)

static const struct rule rules[] = {
    {FIELD(sys_vendor), MATCH_WHOLE, "Amazon EC2", "ec2"},
    {FIELD(bios_vendor), MATCH_WHOLE, "Amazon EC2", "ec2"},
    /* instances on Xen */
    {FIELD(bios_version), MATCH_END, ".amazon", "ec2"},
    {FIELD(product_name), MATCH_WHOLE, "Google Compute Engine", "gce"},
    {FIELD(product_name), MATCH_START, "OpenStack ", "openstack"},
    {FIELD(sys_vendor), MATCH_START, "OpenStack ", "openstack"},
    {FIELD(chassis_asset_tag), MATCH_START, "OpenStack ", "openstack"},
    /* clouds that are OpenStack under another name */
    {FIELD(chassis_asset_tag), MATCH_WHOLE, "OpenTelekomCloud", "openstack"},
    {FIELD(chassis_asset_tag), MATCH_WHOLE, "HUAWEICLOUD", "openstack"},
    {FIELD(chassis_asset_tag), MATCH_WHOLE, "SAP CCloud VM", "openstack"},
    {FIELD(chassis_asset_tag), MATCH_WHOLE, "Samsung Cloud Platform", "openstack"},
    {FIELD(sys_vendor), MATCH_WHOLE, "VMware, Inc.", "vmware"},
    {FIELD(board_vendor), MATCH_WHOLE, "VMware, Inc.", "vmware"},
};

static bool rule_fits(const struct rule *rule, const struct dmi *dmi) {
	const struct blob *value = (const struct blob *)((const char *)dmi + rule->field);
	if (!value->data)
		return false;
	switch (rule->match) {
	case MATCH_START:
		return starts_with(value->data, rule->text);
	case MATCH_END:
		return ends_with(value->data, rule->text);
	default:
		return strcmp(value->data, rule->text) == 0;
	}
}

const struct platform *platform_from_dmi(const struct dmi *dmi) {
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (rule_fits(&rules[i], dmi))
			return by_name(rules[i].platform);
	return NULL;
}

const struct platform *platform_from_oem(const char *text) {
	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (!starts_with(line, "ID="))
			continue;
		const char *value = line + 3;
		value += *value == '"';
		char name[32] = "";
		size_t size = strcspn(value, "\"\r\n");
		if (size >= sizeof name)
			return NULL;
		memcpy(name, value, size);
		return by_name(name);
	}
	return NULL;
}

const struct platform *platform_choose(const struct platform *dmi, const struct platform *oem) {
	if (dmi && (dmi->source != SOURCE_VMWARE || !oem || oem->source != SOURCE_VAGRANT))
		return dmi;
	return oem;
}
