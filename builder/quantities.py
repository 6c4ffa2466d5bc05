"""Sizes and counts as manifests write them: `2 GiB`, with their checks."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SerializationInfo, WithJsonSchema

from builder.texts import nearest, quote

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# what qemu-img writes as VHD at most, and so the largest disk that every platform can have
MAX_DISK = 2040 * GIB
# `model_dump(context=SHOWN)` writes values as a manifest does, not as a stage's key needs them
SHOWN = "shown"

_UNITS = {"B": 1, "": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": GIB << 10}
_SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]*)")


def parse_size(value: object) -> object:
    """Bytes from `2 GiB`; anything but text is left to pydantic."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if not match:
        raise ValueError(f"{quote(value)} is not a size, such as 2 GiB")
    if match[2] not in _UNITS:
        near = nearest(match[2], list(_UNITS)[2:])
        raise ValueError(f"unknown unit {quote(match[2])}{near} (KiB, MiB, GiB, TiB)")
    return int(match[1]) * _UNITS[match[2]]


def format_size(value: int) -> str:
    """The shortest exact way to write a size."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value and value % _UNITS[unit] == 0:
            return f"{value // _UNITS[unit]} {unit}"
    return str(value)


def is_shown(info: SerializationInfo) -> bool:
    return info.context == SHOWN


def _dump_size(value: int, info: SerializationInfo) -> Any:
    return format_size(value) if is_shown(info) else value


def _whole_mib(value: int) -> int:
    if value < MIB or value % MIB:
        raise ValueError("a partition is a whole number of MiB, at least 1")
    if value > MAX_DISK:
        raise ValueError(f"a disk has at most {MAX_DISK // GIB} GiB, which is what a VHD can have")
    return value


def _at_least(least: int, why: str) -> AfterValidator:
    def check(value: int) -> int:
        if value < least:
            raise ValueError(f"needs at least {format_size(least)}: {why}")
        return value

    return AfterValidator(check)


def _memory(value: int) -> int:
    if value % (4 * MIB) or not 64 * MIB <= value <= 16 << 40:
        raise ValueError("memory is a multiple of 4 MiB (VMware takes no other), from 64 MiB to 16 TiB")
    return value


def _cluster(value: int) -> int:
    if value & (value - 1) or not 4 * KIB <= value <= MIB:
        raise ValueError("a cluster is a power of two from 4 KiB to 1 MiB")
    return value


_SIZE_SCHEMA = WithJsonSchema({"type": ["string", "integer"], "pattern": r"^[0-9]+\s*(B|KiB|MiB|GiB|TiB)?$"})
Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(_dump_size), _SIZE_SCHEMA]
PartitionSize = Annotated[
    int, BeforeValidator(parse_size), AfterValidator(_whole_mib), PlainSerializer(_dump_size), _SIZE_SCHEMA
]
# FAT32 begins at 65525 clusters; one with fewer is taken for FAT16 by firmware that keeps to the book
EspSize = Annotated[PartitionSize, _at_least(34 * MIB, "FAT32 does not get smaller")]
OemSize = Annotated[PartitionSize, _at_least(16 * MIB, "ext4 and its journal")]
Memory = Annotated[
    int, BeforeValidator(parse_size), AfterValidator(_memory), PlainSerializer(_dump_size), _SIZE_SCHEMA
]
ClusterSize = Annotated[
    int, BeforeValidator(parse_size), AfterValidator(_cluster), PlainSerializer(_dump_size), _SIZE_SCHEMA
]


def _positive(value: int) -> int:
    if not 1 <= value <= 4096:
        raise ValueError("needs a number from 1 to 4096")
    return value


Count = Annotated[int, AfterValidator(_positive)]
