"""Versions, packages and atoms made up, of few parts, so that many of them are equal or nearly so."""

from __future__ import annotations

from hypothesis import strategies as st

NUMBERS = st.sampled_from(["0", "00", "01", "010", "1", "2", "10", "11", "100", "20260101"])
_SUFFIXES = st.tuples(
    st.sampled_from(["alpha", "beta", "pre", "rc", "p"]), st.sampled_from(["", "0", "1", "02"])
)


@st.composite
def _version(draw: st.DrawFn) -> str:
    text = ".".join(draw(st.lists(NUMBERS, min_size=1, max_size=3)))
    text += draw(st.sampled_from(["", "", "", "a", "b"]))
    text += "".join(f"_{name}{number}" for name, number in draw(st.lists(_SUFFIXES, max_size=2)))
    return text + draw(st.sampled_from(["", "", "", "-r0", "-r1", "-r02", "-r10"]))


VERSIONS = _version()
PACKAGES = st.sampled_from(["a/b", "a/b-c", "a/b1", "a/b-1c2", "a_b.c+d-1/b+", "virtual/libc", "a/b-r1"])
SLOTS = st.sampled_from(["0", "1", "1.2", "a-b+c", "0/1", "0/0", "1/2.3", "1.2/1"])
REPOSITORIES = st.sampled_from(["gentoo", "my_repo-2"])
CPVS = st.builds("{}-{}".format, PACKAGES, VERSIONS)


@st.composite
def _atom(draw: st.DrawFn) -> str:
    operator = draw(st.sampled_from(["", "", "<", "<=", "=", "=*", "~", ">=", ">"]))
    text = f"{operator[:1] if operator == '=*' else operator}{draw(PACKAGES)}"
    if operator:
        version = draw(VERSIONS)
        text += f"-{version.partition('-r')[0] if operator == '~' else version}"
    text += "*" if operator == "=*" else ""
    text += draw(st.just("") | st.builds(":{}".format, SLOTS))
    return text + draw(st.just("") | st.builds("::{}".format, REPOSITORIES))


ATOMS = _atom()


@st.composite
def _nearly(draw: st.DrawFn) -> str:
    """An atom with some characters changed, left out or put in."""
    text = draw(ATOMS)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from([*"/-_.:*<>=~+r01aA ", ""]))
            + text[at + draw(st.integers(0, 1)) :]
        )
    return text


NEARLY_ATOMS = _nearly()
