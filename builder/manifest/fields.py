"""Value types of a manifest, each with its check and its explanation.

A validator raises ValueError with what the value should be; the loader adds the place.
Values that come from a file are `Text`, which knows the directory that paths start from.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    SerializationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from builder.arch import DEFAULT
from builder.manifest.version import check as check_version
from builder.places import path_problem, place_problem
from builder.quantities import is_shown
from builder.texts import nearest, public, quote


class Text(str):
    """A string of a manifest that remembers which directory its file is in."""

    directory: Path

    def __new__(cls, value: str, directory: Path) -> Text:
        text = super().__new__(cls, value)
        text.directory = directory
        return text


def matches(pattern: str, wants: str) -> AfterValidator:
    """A validator: the whole text must match; `wants` describes valid values in the message."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"{quote(value)} is not {wants}")
        return value

    return AfterValidator(check)


# -- numbers -------------------------------------------------------------------------------


def _parse_mode(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"0?[0-7]{3}|0?[0-7]{4}", value):
        raise ValueError(f"{quote(value)} is not an octal mode, such as 0644")
    return int(value, 8)


def _dump_mode(value: int, info: SerializationInfo) -> Any:
    return f"{value:04o}"


FileMode = Annotated[
    int,
    BeforeValidator(_parse_mode),
    PlainSerializer(_dump_mode),
    WithJsonSchema({"type": ["string", "integer"], "pattern": "^0?[0-7]{3,4}$"}),
]


def _id_range(value: int) -> int:
    if not 1 <= value <= 59999:
        raise ValueError("an id must be 1 to 999 (system) or 1000 to 59999 (users)")
    return value


AccountId = Annotated[int, AfterValidator(_id_range)]


def _days(value: int) -> int:
    if not 1 <= value <= 3650:
        raise ValueError("must be a number of days from 1 to 3650")
    return value


def _few(value: int) -> int:
    if not 0 <= value <= 32:
        raise ValueError("must be a number from 0 to 32")
    return value


Days = Annotated[int, AfterValidator(_days)]
Few = Annotated[int, AfterValidator(_few)]

# -- names ---------------------------------------------------------------------------------

_ATOM = (
    r"(?:(?P<op>[<>]=?|=|~))?[A-Za-z0-9_][A-Za-z0-9+_.-]*/[A-Za-z0-9_][A-Za-z0-9+_-]*?"
    r"(?P<version>-[0-9]+(?:\.[0-9]+)*[a-z]?(?:_(?:alpha|beta|pre|rc|p)[0-9]*)*(?:-r[0-9]+)?\*?)?"
    r"(?::[A-Za-z0-9_][A-Za-z0-9+_./-]*)?(?:::[A-Za-z0-9_][A-Za-z0-9_-]*)?"
)
_ATOM_PATTERN = re.compile(_ATOM)


def _atom(value: str) -> str:
    match = _ATOM_PATTERN.fullmatch(value)
    if not match:
        raise ValueError(
            f"{quote(value)} is not a package atom, such as app-shells/bash or >=app-arch/zstd-1.5"
        )
    if match["op"] and not match["version"]:
        raise ValueError(f"{quote(value)} has an operator, but no version")
    if match["version"] and not match["op"]:
        raise ValueError(
            f"{quote(value)} has a version, but no operator; write {quote('=' + value)} for this version"
        )
    return value


Atom = Annotated[str, AfterValidator(_atom)]
UseFlag = Annotated[str, matches(r"-?[A-Za-z0-9][A-Za-z0-9+_@-]*", "a USE flag, such as ssl or -ssl")]
LicenceName = Annotated[
    str,
    matches(r"@?[A-Za-z0-9_][A-Za-z0-9+_.-]*", "a licence or a licence group, such as GPL-3+ or @FREE"),
]
Name = Annotated[str, matches(r"[A-Za-z0-9][A-Za-z0-9 ._()+-]{0,63}", "a name of up to 64 plain characters")]
Identifier = Annotated[str, matches(r"[a-z][a-z0-9._-]{0,31}", "an id (a-z, 0-9, '.', '_', '-', at most 32)")]
Account = Annotated[str, matches(r"[a-z_][a-z0-9_-]{0,30}", "an account (a-z, 0-9, '_', '-', at most 31)")]
NewAccount = Annotated[
    Account, matches(r"(?!(root|nobody)$).*", "allowed here: every image has this account already")
]
Profile = Annotated[
    str,
    matches(
        r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*",
        f"a profile, such as colvert/{DEFAULT.gentoo}",
    ),
]
Locale = Annotated[str, matches(r"[A-Za-z]+(_[A-Z]{2})?\.UTF-8(@[a-z]+)?", "a UTF-8 locale, such as C.UTF-8")]
Unit = Annotated[
    str,
    matches(
        r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.(service|socket|target|timer|path|mount|automount|swap|slice|device)",
        "a unit with its type, such as sshd.service",
    ),
]
KernelWord = Annotated[
    str,
    matches(
        r'(?:[!#-~]|"[ -!#-~]*")+',
        "one word of a kernel command line (with balanced quotes); write each word as its own list item",
    ),
    matches(r"(?!(usrhash|roothash)=).*", "allowed here: the build sets it"),
]
Commit = Annotated[str, matches(r"[0-9a-f]{40}", "a full commit id (40 hexadecimal digits)")]
Calendar = Annotated[
    str,
    matches(
        r"[A-Za-z0-9*][A-Za-z0-9*:,./~ -]{0,63}", "a calendar expression (systemd.time(7)), such as Sun 03:00"
    ),
]
Span = Annotated[
    str,
    matches(
        r"[0-9]+ ?(s|sec|min|m|h|hr|d)( ?[0-9]+ ?(s|sec|min|m|h|hr|d))*", "a time span, such as 2h or 90min"
    ),
]
FixedVersion = Annotated[str, AfterValidator(check_version), WithJsonSchema({"type": ["string", "number"]})]
Version = Annotated[str, AfterValidator(check_version), WithJsonSchema({"type": ["string", "number"]})]


def _has_place(value: str, schemes: tuple[str, ...]) -> bool:
    """Whether a text is an address with one of the schemes, and with a host (and port) that can be one."""
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in schemes and (bool(parts.hostname) or parts.scheme == "file") and parts.port != 0
        )
    except ValueError:
        return False


def _url(schemes: tuple[str, ...]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not _has_place(value, schemes):
            raise ValueError(f"{quote(value)} is not a URL ({', '.join(schemes)})")
        if re.search(r"\s", value):
            raise ValueError("a URL cannot contain spaces")
        return value

    return check


def _without_secrets(value: str) -> str:
    if public(value) != value:
        raise ValueError(
            f"{quote(value)} contains a user, a password or a token, readable by everyone with an image"
        )
    return value


# who reads the model has the address itself; what is written out of it is public
_PUBLIC = PlainSerializer(public, return_type=str)
PublicUrl = Annotated[str, AfterValidator(_url(("https", "http"))), AfterValidator(_without_secrets)]
GitUrl = Annotated[str, AfterValidator(_url(("https", "http", "ssh", "git", "file"))), _PUBLIC]

# -- paths in the image --------------------------------------------------------------------


def _place(problem_of: Callable[[str], str]) -> AfterValidator:
    """A validator from a function that says what is wrong with a path."""

    def check(value: str) -> str:
        if problem := problem_of(value):
            raise ValueError(f"{quote(value)}: {problem}")
        return value

    return AfterValidator(check)


ImagePath = Annotated[str, _place(place_problem)]
# a field of passwd(5), and of sysusers.d(5), where % begins what is replaced
AccountPath = Annotated[
    str,
    _place(path_problem),
    matches(r"[^:%\"'\\]*", "a valid path of an account (without ':', '%' or quotes)"),
]

# -- paths of the builder ------------------------------------------------------------------


@dataclass(frozen=True)
class SourcePath:
    """A file or directory that a manifest names: as written, and where it is."""

    text: str
    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def sha256(self) -> str:
        """The digest of a file's content, which is what a stage's key wants of it."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def _resolve(value: object) -> SourcePath:
    if isinstance(value, SourcePath):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a path")
    if not value:
        raise ValueError("the path is empty")
    directory = value.directory if isinstance(value, Text) else Path.cwd()
    return SourcePath(str(value), Path(os.path.normpath(directory / value)))


def _mode_of(path: Path) -> int:
    """What is at a path; 0 where there is nothing, which is not the same as that it cannot be seen."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise ValueError(f"{quote(str(path))} cannot be read ({error.strerror})") from error


def _beside(path: Path) -> str:
    """A suggestion from the names that are there."""
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return ""


def _source_file(value: object) -> SourcePath:
    source = _resolve(value)
    mode = _mode_of(source.path)
    if not mode:
        raise ValueError(f"file {quote(source.text)} not found{_beside(source.path)}")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{quote(source.text)} is not a regular file")
    if not os.access(source.path, os.R_OK):
        raise ValueError(f"{quote(source.text)} cannot be read")
    return source


def _overlay_directory(value: object) -> SourcePath:
    source = _resolve(value)
    if not stat.S_ISDIR(_mode_of(source.path)):
        what = "overlay {name} not found{near}"
        context = {"name": quote(source.text), "near": _beside(source.path)}
        raise PydanticCustomError("overlay_missing", what, context)
    return source


def _dump_file(value: SourcePath, info: SerializationInfo) -> Any:
    return value.text if is_shown(info) else {"sha256": value.sha256()}


def _dump_directory(value: SourcePath, info: SerializationInfo) -> Any:
    return value.text


SourceFile = Annotated[
    SourcePath, PlainValidator(_source_file), PlainSerializer(_dump_file), WithJsonSchema({"type": "string"})
]
OverlayDirectory = Annotated[
    SourcePath,
    PlainValidator(_overlay_directory),
    PlainSerializer(_dump_directory),
    WithJsonSchema({"type": "string"}),
]


def _mirror(value: object) -> object:
    """A mirror is a URL, or a directory (then given on as a file URL)."""
    if not isinstance(value, str):
        return value
    if "://" in value:
        return _url(("https", "http", "file"))(value)
    source = _resolve(value)
    if not stat.S_ISDIR(_mode_of(source.path)):
        raise ValueError(f"directory {quote(source.text)} not found{_beside(source.path)}")
    return source.path.as_uri()


Mirror = Annotated[str, BeforeValidator(_mirror), _PUBLIC]
