"""Atoms and versions: the specification's examples, and properties that hold for all of them.

tests/build/test_atoms.py asks Portage the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.packages.atoms import Atom, Cpv, Operator, Version, meant
from tests.atoms import ATOMS, CPVS, VERSIONS


@dataclass(frozen=True)
class Node:
    """A package of a plan, as far as an atom looks at it."""

    cpv: str
    slot: str = "0"
    repository: str = "colvert"


def test_versions_in_their_order() -> None:
    rising = [
        "0", "0.01", "0.010.1", "0.1", "1_alpha", "1_alpha1", "1_alpha1_p", "1_beta", "1_pre2", "1_pre10",
        "1_rc", "1", "1-r1", "1-r10", "1_p", "1_p1", "1a", "1b", "1.0", "1.0.0", "1.00.1", "1.02", "1.1",
        "1.1.1", "1.1.2", "1.2", "1.10", "2", "10", "9007199254740993",
    ]  # fmt: skip
    for lower, higher in pairwise(rising):
        assert Version.parse(lower) < Version.parse(higher), (lower, higher)
        assert Version.parse(higher) > Version.parse(lower), (lower, higher)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1-r0"), ("1", "01"), ("1_p", "1_p0"), ("1.010", "1.01"), ("1-r1", "1-r01")]
)
def test_versions_that_are_equal(one: str, other: str) -> None:
    assert Version.parse(one) == Version.parse(other)
    assert hash(Version.parse(one)) == hash(Version.parse(other))


@given(st.lists(VERSIONS, max_size=12))
def test_the_order_is_one(versions: list[str]) -> None:
    found = sorted(map(Version.parse, versions))
    for one, other in pairwise(found):
        assert (one < other) + (one == other) + (one > other) == 1


@given(CPVS)
def test_a_cpv_is_read_as_it_is_written(text: str) -> None:
    assert str(Cpv.parse(text)) == text


@given(ATOMS)
def test_an_atom_is_read_as_it_is_written(text: str) -> None:
    assert str(Atom.parse(text)) == text


def test_the_parts_of_an_atom() -> None:
    assert Atom.parse("=dev-lang/python-3.12*:3.12/1::gentoo") == Atom(
        "dev-lang", "python", Operator.PREFIX, Version.parse("3.12"), "3.12", "1", "gentoo"
    )
    assert Atom.parse("x11-libs/gtk+").package == "x11-libs/gtk+"
    assert Atom.parse("app-misc/a-1b2").name == "a-1b2"


@pytest.mark.parametrize(
    "text",
    [
        "", "bash", "app-shells/", "/bash", "app-shells/bash-5", ">=app-shells/bash", "=app-shells/bash-5-6",
        ">=app-shells/bash-5*", "app-shells/-bash", "+a/b", ".a/b", "a/b:", "a/b:-1", "a/b::", "a/b:0/",
        "!a/b", "a/b[ssl]", "a/b:=", "*/*", "a/b ", "a/b\n", "a/b/c", "=a/b-1_gamma", "=a/b-1.a", "=a/b-1-r",
    ],
)  # fmt: skip
def test_what_is_no_atom(text: str) -> None:
    with pytest.raises(ColvertError) as caught:
        Atom.parse(text)
    assert caught.value.code is Code.UNKNOWN_PACKAGE


@pytest.mark.parametrize("text", ["a/b", "b-1", "a/b-1-2", "=a/b-1", "a/b-1:0", "a/b-1\n", "a/b-1_x"])
def test_what_is_no_cpv(text: str) -> None:
    with pytest.raises(ColvertError):
        Cpv.parse(text)


def test_numbers_without_end() -> None:
    long = "9" * 10_000
    assert Version.parse(long) < Version.parse(f"1{long}")
    assert Version.parse(f"1.{long}_p{long}-r{long}") < Version.parse(f"1.{long}_p{long}-r1{long}")


@pytest.mark.parametrize(
    ("atom", "cpv"),
    [
        ("app-misc/slt", "app-misc/slt-2"),
        ("app-misc/slt:1", "app-misc/slt-1"),
        ("app-misc/slt:1/3", "app-misc/slt-1"),
        ("app-misc/slt:2", "app-misc/slt-2"),
        ("app-misc/slt:1/4", None),
        ("app-misc/slt::other", "app-misc/slt-2"),
        ("app-misc/slt:1::other", None),
        ("<app-misc/slt-2", "app-misc/slt-1"),
        ("~app-misc/slt-1", "app-misc/slt-1"),
        ("=app-misc/slt-1-r0", "app-misc/slt-1"),
        ("app-misc/sl", None),
        ("app-misc/slt-lib", "app-misc/slt-lib-7"),
        ("other/slt", None),
    ],
)
def test_the_package_that_is_meant(atom: str, cpv: str | None) -> None:
    """One of the plan's, however the atom is written: never every slot, never a name that only begins so."""
    plan = [
        Node("app-misc/slt-1", "1/3"),
        Node("app-misc/slt-2", "2", "other"),
        Node("app-misc/slt-lib-7"),
    ]
    found = meant(Atom.parse(atom), plan)
    assert (found.cpv if found else None) == cpv
