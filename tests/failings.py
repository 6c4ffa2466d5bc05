"""Failings: what the releases of the tests hold that fails where a kernel's command line says so."""

from __future__ import annotations

import hashlib

_CHECK = """#!/bin/sh
# fails, or freezes PID 1, where the command line of this test's kernel says so
if grep -q colvert.test=health /proc/cmdline; then echo "the web server does not answer"; exit 3; fi
grep -q colvert.test=freeze /proc/cmdline || exit 0
echo "the system stops here"
cd /sys/fs/cgroup/init.scope
echo 1 > cgroup.freeze
until grep -qx "frozen 1" cgroup.events; do sleep 1; done
echo "PID 1 is frozen" > /dev/kmsg
sleep infinity
"""
_UNIT = """[Unit]
Description={what}
[Service]
Type=oneshot
ExecStart={command}
"""
# nothing reads it, and it is long enough to have blocks of its own
_RARE = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(4096))
PROPS: dict[str, str | tuple[str, int]] = {
    "/etc/colvert/health.d/50-test": (_CHECK, 0o755),
    "/usr/lib/systemd/system/broken.service": _UNIT.format(what="Broken", command="/usr/bin/false"),
    "/usr/lib/systemd/system/stuck.service": _UNIT.format(
        what="Stuck", command="/usr/bin/sleep infinity"
    ).replace("[Service]", "DefaultDependencies=no\nBefore=sysinit.target\n[Service]"),
    "/usr/lib/colvert-test/hang": ("#!/bin/sh\nwhile :; do sleep 1000; done\n", 0o755),
    "/usr/lib/colvert-test/rare": _RARE,
}
