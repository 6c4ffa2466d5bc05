"""Every program and library of the default OS is hardened: read from the binaries that ship.

The compiler's own words come from the debug symbols, which each binary package keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from builder.pipeline.key import walk
from builder.pipeline.store import Entry
from builder.sandbox.run import Bind, run
from builder.sandbox.sdk import Sdk

# What lacks something, and why it may: (pattern of names, what may be missing) -> reason.
EXCUSED: Mapping[tuple[str, str], str] = {
    ("usr/lib/lib{atomic,gcc_s,stdc++}.so.*", "now"): "the compiler's runtime is Debian's, as it is",
    ("usr/lib/lib{atomic,gcc_s,stdc++}.so.*", "cet"): "Debian builds it without",
}
FLAGS = ("-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection=full")


@dataclass(frozen=True)
class Binary:
    """One ELF file and what readelf says of it."""

    name: str
    text: str

    @property
    def program(self) -> bool:
        return "INTERP" in self.text

    @property
    def build_id(self) -> str:
        found = re.search(r"Build ID: ([0-9a-f]+)", self.text)
        return found[1] if found else ""

    def lacks(self) -> Iterator[str]:
        """What of the hardening is not there."""
        checks = {
            "pie": re.search(r"^\s+Type:\s+DYN ", self.text, re.M),
            "relro": "GNU_RELRO" in self.text,
            "now": re.search(r"\(FLAGS(_1)?\).*\bNOW\b", self.text),
            "noexecstack": re.search(r"^\s+GNU_STACK .* RW ", self.text, re.M),
            "cet": re.search(r"x86 feature: IBT, SHSTK", self.text),
            "no-runpath": not re.search(r"\(R(UN)?PATH\)(?!.*\[/usr/lib/systemd\])", self.text),
        }
        return (name for name, good in checks.items() if not good)


def _elves(root: Path) -> list[str]:
    found = []
    for name, entry in walk(root):
        if entry.is_file(follow_symlinks=False) and not name.endswith((".ko", ".ko.zst", ".efi", ".debug")):
            with open(entry.path, "rb") as stream:
                if stream.read(4) == b"\x7fELF":
                    found.append(name)
    return found


@pytest.fixture(scope="module")
def images(packages: Mapping[str, Entry]) -> dict[str, Path]:
    return {cpv: entry.out / "image" for cpv, entry in packages.items() if "/colvert-kernel-" not in cpv}


@pytest.fixture(scope="module")
def binaries(images: Mapping[str, Path], sdk: Sdk) -> list[Binary]:
    """All that is linked dynamically, of all packages."""
    found = []
    for image in images.values():
        names = [name for name in _elves(image) if not name.startswith("usr/lib/debug/")]
        if names:
            words = ["readelf", "--wide", "--file-header", "--segments", "--dynamic", "--notes", *names]
            said = run(words, sandbox=sdk.sandbox(Bind(image, "/run/image")), cwd="/run/image").stdout
            parts = re.split(r"^File: ", said, flags=re.M)[1:] if len(names) > 1 else [f"{names[0]}\n{said}"]
            found += [Binary(*part.split("\n", 1)) for part in parts]
    return [binary for binary in found if "There is no dynamic section" not in binary.text]


def _excused(name: str, what: str) -> bool:
    return any(what == may and _matches(name, pattern) for pattern, may in EXCUSED)


def _matches(name: str, pattern: str) -> bool:
    inner = re.search(r"\{(.*?)\}", pattern)
    choices = inner[1].split(",") if inner else [""]
    return any(fnmatchcase(name, pattern.replace(inner[0], one) if inner else pattern) for one in choices)


def test_programs_and_libraries_are_hardened(binaries: list[Binary]) -> None:
    assert sum(binary.program for binary in binaries) > 200
    found = [
        f"{one.name}: {what}" for one in binaries for what in one.lacks() if not _excused(one.name, what)
    ]
    assert found == []


def test_every_excuse_is_needed(binaries: list[Binary]) -> None:
    used = {
        (pattern, may)
        for pattern, may in EXCUSED
        for one in binaries
        if _matches(one.name, pattern) and may in one.lacks()
    }
    assert set(EXCUSED) == used


# glibc decides file by file what may be protected: the loader runs before the canary is there
OWN_FLAGS = ("sys-libs/glibc-", "sys-devel/gcc-runtime-")


def test_every_file_was_compiled_with_the_flags(images: Mapping[str, Path], sdk: Sdk) -> None:
    """DW_AT_producer names the options of each translation unit (DWARF 5, 3.1.1)."""
    units, bare = 0, []
    for cpv, image in images.items():
        debug = image / "usr/lib/debug"
        if cpv.startswith(OWN_FLAGS) or not debug.is_dir():
            continue
        names = [name for name, entry in walk(debug) if name.endswith(".debug") and not entry.is_symlink()]
        words = ["readelf", "--debug-dump=info", "--dwarf-depth=1", *names]
        said = run(words, sandbox=sdk.sandbox(Bind(debug, "/run/debug")), cwd="/run/debug").stdout
        for producer in re.findall(r"DW_AT_producer\s*:.*?(GNU C\S* .*)$", said, re.M):
            units += 1
            bare += [f"{cpv}: {flag}" for flag in FLAGS if flag not in producer]
    assert units > 3000
    assert sorted(set(bare)) == []


# the compiler's runtime is Debian's, stripped; the loader keeps its own symbols
NO_SYMBOLS = "usr/lib/{ld-linux-x86-64,libatomic,libgcc_s,libstdc++}.so.*"


def test_every_binary_has_its_symbols_beside_it(images: Mapping[str, Path], binaries: list[Binary]) -> None:
    kept = {
        path.parent.name + path.name.removesuffix(".debug")
        for image in images.values()
        for path in (image / "usr/lib/debug/.build-id").glob("*/*.debug")
    }
    missing = [
        binary.name
        for binary in binaries
        if not _matches(binary.name, NO_SYMBOLS) and binary.build_id not in kept
    ]
    assert missing == []
