"""The audit's policy: its form, mistakes with their places, and texts that nobody meant as one."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from builder.audit.policy import KEYS, Check, line_for, load_policy
from builder.errors import Code, ColvertError, Exit

PROJECT = Path(__file__).parents[2]


def load(place: Path, text: str) -> list[tuple[str, str, str]]:
    path = place / "audit.yaml"
    path.write_text(text)
    return [(line.check.value, line.subject, line.detail) for line in load_policy(path).allowances]


def test_each_pattern_and_each_thing_is_a_line_of_its_own(tmp_path: Path) -> None:
    text = """
hardening:
  - files: [usr/lib/a.so, usr/lib/b.so]
    lacks: [now, cet]
    reason: built by others
sockets:
  - processes: [sshd]
    on: [tcp/22 *]
    reason: the way in
"""
    assert load(tmp_path, text) == [
        ("hardening", "usr/lib/a.so", "now"),
        ("hardening", "usr/lib/a.so", "cet"),
        ("hardening", "usr/lib/b.so", "now"),
        ("hardening", "usr/lib/b.so", "cet"),
        ("sockets", "sshd", "tcp/22 *"),
    ]


def test_every_check_has_its_list_and_its_line() -> None:
    assert set(KEYS) == set(Check) - {Check.STALE}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("setuid:\n  - files: [a]\n    mode: 4755\n", (2, 5), "reason"),
        ("setuid:\n  - files: [a]\n    mode: 999\n    reason: for the test\n", (3, 11), "octal"),
        ("hardening:\n  - {files: [a], lacks: [pi], reason: for the test}\n", (2, 26), "pie"),
        ("links:\n  - {files: [/a], to: [b], reason: for the test}\n", (2, 14), "without the leading /"),
        ("setuids: []\n", (1, 1), "setuid"),
        ("version: 2\n", (1, 10), "1"),
        ("owners:\n  - {files: [a], reason: why}\n", (2, 26), "reason"),
        ("owners:\n  - {files: [], reason: for the test}\n", (2, 13), "at least one entry"),
    ],
)
def test_mistakes_have_a_place(tmp_path: Path, text: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(ColvertError) as caught:
        load(tmp_path, text)
    error = caught.value
    assert error.exit is Exit.INPUT
    assert error.where is not None
    assert (error.where.line, error.where.column) == place
    assert words in str(error)


def test_a_policy_can_include_and_take_back(tmp_path: Path) -> None:
    base = "owners:\n  - {files: [a], reason: for the test}\n  - {files: [b], reason: for the test}\n"
    (tmp_path / "base.yaml").write_text(base)
    own = "include: [base.yaml]\nowners:\n  - !remove {files: [a]}\n  - {files: [c], reason: for the test}\n"
    assert [line[1] for line in load(tmp_path, own)] == ["b", "c"]


def test_a_missing_policy_is_told(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        load_policy(tmp_path / "gone.yaml")
    assert caught.value.code is Code.MANIFEST_MISSING


def test_ours_is_read() -> None:
    assert load_policy(PROJECT / "manifests/audit.yaml").allowances


CHECKS = st.sampled_from(sorted(KEYS))
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
DETAILS = {
    Check.HARDENING: st.sampled_from(["pie", "fortify"]),
    Check.COMPILED: st.sampled_from(["-fcf-protection=full", "-fstack-protector-strong"]),
    Check.SETUID: st.sampled_from(["4755", "2755"]),
    Check.WRITABLE: st.sampled_from(["0666", "1777"]),
}


@given(st.data())
def test_the_line_for_a_finding_allows_exactly_it(data: st.DataObject) -> None:
    check = data.draw(CHECKS)
    subject = data.draw(TEXTS.filter(lambda text: not text.startswith("/")))
    detail = data.draw(DETAILS.get(check, TEXTS)) if KEYS[check][1] else ""
    written = line_for(check, subject, detail).replace("…", "for the test")
    name, _, line = written.partition(": ")
    with TemporaryDirectory() as place:
        path = Path(place) / "audit.yaml"
        path.write_text(f"{name}:\n  {line}\n")
        [allowance] = load_policy(path).allowances
    assert allowance.allows(check, subject, detail)
    assert not allowance.allows(check, f"{subject}x", detail)
    assert not detail or not allowance.allows(check, subject, f"{detail}x")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
KEYED = st.dictionaries(
    st.sampled_from([*(check.value for check in KEYS), "version", "include", "setuids"]), VALUES, max_size=4
)


@given(KEYED.map(yaml.safe_dump) | st.text(max_size=200))
@example("setuid: &a [*a]")
@example("owners: {}")
def test_whatever_a_file_holds_is_a_policy_or_one_error(text: str) -> None:
    with TemporaryDirectory() as place:
        path = Path(place) / "audit.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            load_policy(path)
        except ColvertError as error:
            assert error.exit is Exit.INPUT
