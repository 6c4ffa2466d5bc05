"""The config drive of OpenStack as an ISO 9660 image, written by hand: the SDK has no program for it.

Only what a kernel reads: one volume, a directory in a directory, one file, each in a sector of 2048 bytes.
"""

from __future__ import annotations

import struct

SECTOR = 2048
ROOT, FOLDER, LATEST, CONTENT = 20, 21, 22, 23


def _both(value: int, size: int = 4) -> bytes:
    """A number in both byte orders, as the format wants it."""
    form = "I" if size == 4 else "H"
    return struct.pack(f"<{form}", value) + struct.pack(f">{form}", value)


def _record(name: bytes, sector: int, size: int, *, folder: bool) -> bytes:
    date = bytes((126, 1, 1, 0, 0, 0, 0))
    fields = _both(sector) + _both(size) + date + bytes((2 if folder else 0, 0, 0)) + _both(1, 2)
    body = b"\0" + fields + bytes((len(name),)) + name + b"\0" * (1 - len(name) % 2)
    return bytes((len(body) + 1,)) + body


def _folder(own: int, parent: int, *entries: bytes) -> bytes:
    here = _record(b"\0", own, SECTOR, folder=True) + _record(b"\1", parent, SECTOR, folder=True)
    return (here + b"".join(entries)).ljust(SECTOR, b"\0")


def _descriptor(label: str, sectors: int) -> bytes:
    table = bytearray(SECTOR)
    table[0:7] = b"\1CD001\1"
    table[8:72] = b" " * 32 + label.encode().ljust(32)
    table[80:88] = _both(sectors)
    table[120:132] = _both(1, 2) + _both(1, 2) + _both(SECTOR, 2)
    table[156:190] = _record(b"\0", ROOT, SECTOR, folder=True)
    table[881] = 1
    return bytes(table)


def iso(metadata: str, label: str = "config-2") -> bytes:
    """An image with openstack/latest/meta_data.json; Linux shows such names in lower case."""
    data = metadata.encode()
    content = data.ljust((len(data) // SECTOR + 1) * SECTOR, b"\0")
    end = b"\xffCD001\1".ljust(SECTOR, b"\0")
    return b"".join(
        (
            bytes(16 * SECTOR),
            _descriptor(label, CONTENT + len(content) // SECTOR),
            end,
            # path tables, which Linux does not read
            bytes(2 * SECTOR),
            _folder(ROOT, ROOT, _record(b"OPENSTACK", FOLDER, SECTOR, folder=True)),
            _folder(FOLDER, ROOT, _record(b"LATEST", LATEST, SECTOR, folder=True)),
            _folder(LATEST, FOLDER, _record(b"META_DATA.JSON;1", CONTENT, len(data), folder=False)),
            content,
        )
    )
