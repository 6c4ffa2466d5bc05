"""tests/unit: the kernel's configuration fragments, read as text; the build test reads what comes of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "overlays/colvert/sys-kernel/colvert-kernel"
FRAGMENTS = sorted((PACKAGE / "files").glob("*.config"))
OPTION = re.compile(r'CONFIG_(?P<name>[A-Za-z0-9_]+)=(?P<value>[ym]|-?[0-9]+|0x[0-9a-f]+|"[^"]*")')
UNSET = re.compile(r"# CONFIG_(?P<name>[A-Za-z0-9_]+) is not set")
SUBJECTS = {
    "base",
    "console",
    "containers",
    "crypto",
    "filesystems",
    "firmware",
    "guests",
    "hardening",
    "network",
    "security",
    "storage",
}


def _requests(fragment: Path) -> list[tuple[str, str]]:
    """Every option of a fragment with its value, "n" where it is switched off."""
    found = []
    for line in fragment.read_text().splitlines():
        if match := OPTION.fullmatch(line):
            found.append((match["name"], match["value"]))
        elif match := UNSET.fullmatch(line):
            found.append((match["name"], "n"))
    return found


def test_each_subject_has_its_fragment() -> None:
    assert {fragment.stem for fragment in FRAGMENTS} == SUBJECTS


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.stem)
def test_every_line_is_an_option_or_a_comment(fragment: Path) -> None:
    text = fragment.read_text()
    assert text.endswith("\n")
    assert text.startswith("# "), "the first line says what the fragment is about"
    for number, line in enumerate(text.splitlines(), 1):
        well_formed = not line or OPTION.fullmatch(line) or UNSET.fullmatch(line) or line.startswith("# ")
        assert well_formed, f"{fragment.name}:{number}: {line}"
        if "CONFIG_" in line:
            assert OPTION.fullmatch(line) or UNSET.fullmatch(line), f"{fragment.name}:{number}: {line}"


def test_no_option_is_requested_twice() -> None:
    names = Counter(name for fragment in FRAGMENTS for name, _ in _requests(fragment))
    assert [name for name, times in names.items() if times > 1] == []


def test_no_build_makes_a_key_or_a_signature() -> None:
    requests = dict(_requests(PACKAGE / "files/security.config"))
    assert requests["MODULE_SIG_KEY"] == '""'
    assert requests["MODULE_SIG_ALL"] == "n"


def test_fragments_ask_for_nothing_that_slows_or_bloats_the_build() -> None:
    requests = {name for fragment in FRAGMENTS for name, value in _requests(fragment) if value != "n"}
    costly = {"DEBUG_INFO_BTF", "FTRACE", "KPROBES", "KASAN", "PROVE_LOCKING", "CRYPTO_JITTERENTROPY"}
    assert requests & costly == set()
    assert not {name for name in requests if name.startswith("DEBUG_") or name.endswith("_SELFTEST")}
