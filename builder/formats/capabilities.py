"""Formats: the capabilities of a file, as `getcap` prints them.

The extended attribute's layout is that of linux/capability.h (struct vfs_cap_data, versions 2 and 3).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

ATTRIBUTE = "security.capability"
EFFECTIVE = 1
# by number, from linux/capability.h
NAMES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip


def capabilities(path: Path) -> str:
    """The capabilities of a file, or nothing."""
    try:
        value = os.getxattr(path, ATTRIBUTE, follow_symlinks=False)
    except OSError:
        return ""
    return describe(value)


def describe(value: bytes) -> str:
    """The attribute's value in words, such as `cap_net_raw=ep`."""
    if len(value) not in (20, 24):
        return f"unreadable ({value.hex()})"
    magic, low, low_inherited, high, high_inherited = struct.unpack_from("<5I", value)
    permitted, inherited = low | high << 32, low_inherited | high_inherited << 32
    effective = "e" if magic & EFFECTIVE else ""
    groups: dict[str, list[str]] = {}
    for number in range(64):
        has, gives = permitted >> number & 1, inherited >> number & 1
        if has or gives:
            letters = effective + ("i" if gives else "") + ("p" if has else "")
            name = NAMES[number] if number < len(NAMES) else str(number)
            groups.setdefault(letters, []).append(f"cap_{name}")
    return " ".join(f"{','.join(names)}={letters}" for letters, names in groups.items())
