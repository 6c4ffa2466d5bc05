"""Licences: LICENSE read, said in SPDX's words, and held against a policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from builder.describe.licences import Group, Licence, extracted, failing, names, parse, reference, spdx
from builder.describe.spdx_ids import EXCEPTIONS, IDS
from builder.errors import Code, ColvertError

SPDX = get_spdx_licensing()
NAMES = st.sampled_from([*IDS, *EXCEPTIONS, "public-domain", "as-is", "FraunhoferFDK", "some_thing+"])
LICENCES = st.recursive(
    NAMES,
    lambda inner: st.builds(Group, st.lists(inner, max_size=4).map(tuple), st.booleans()),
    max_leaves=12,
)


def written(licence: Licence) -> str:
    """The licence as an ebuild has it."""
    if isinstance(licence, str):
        return licence
    inner = " ".join(written(part) for part in licence.parts)
    return f"{'|| ' if licence.choice else ''}( {inner} )"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MIT", "MIT"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+ LGPL-2.1+ MIT", "GPL-2.0-or-later AND LGPL-2.1-or-later AND MIT"),
        ("|| ( BSD GPL-2 )", "BSD-3-Clause OR GPL-2.0-only"),
        ("MIT || ( BSD GPL-2 )", "MIT AND (BSD-3-Clause OR GPL-2.0-only)"),
        ("|| ( MIT ( BSD ISC ) )", "MIT OR (BSD-3-Clause AND ISC)"),
        ("|| ( MIT )", "MIT"),
        ("MIT ( ) MIT", "MIT"),
        ("", ""),
        ("BSD public-domain", "BSD-3-Clause AND LicenseRef-Gentoo-public-domain"),
        ("GPL-3+ gcc-runtime-library-exception-3.1", "GPL-3.0-or-later WITH GCC-exception-3.1"),
        # without the licence that it is an exception to, it is a text like others
        (
            "MIT gcc-runtime-library-exception-3.1",
            "MIT AND LicenseRef-Gentoo-gcc-runtime-library-exception-3.1",
        ),
        # and a choice between the two is no exception either
        (
            "|| ( GPL-3 gcc-runtime-library-exception-3.1 )",
            "GPL-3.0-only OR LicenseRef-Gentoo-gcc-runtime-library-exception-3.1",
        ),
    ],
)
def test_the_expression(text: str, said: str) -> None:
    assert spdx(parse(text)) == said


@pytest.mark.parametrize("text", ["( MIT", "MIT )", "|| MIT", "||", "|| ( MIT", "( || )"])
def test_what_is_no_licence(text: str) -> None:
    with pytest.raises(ColvertError) as caught:
        parse(text)
    assert caught.value.code is Code.UNRESOLVABLE


@pytest.mark.parametrize("identity", sorted({*IDS.values(), *(found[0] for found in EXCEPTIONS.values())}))
def test_every_id_is_one_of_spdx(identity: str) -> None:
    assert identity in SPDX.known_symbols


@given(LICENCES)
def test_what_is_written_is_read_back(licence: Licence) -> None:
    assert parse(written(licence)).parts == (licence,)


@given(LICENCES)
def test_every_expression_is_one_that_spdx_takes(licence: Licence) -> None:
    said = spdx(licence)
    if said:
        known = SPDX.parse(said.replace("LicenseRef-Gentoo-", "LicenseRef-"), validate=False)
        used = {
            str(symbol).replace("LicenseRef-", "LicenseRef-Gentoo-") for symbol in SPDX.license_symbols(known)
        }
        assert {key for key in used if key.startswith("LicenseRef-")} == {
            reference(name) for name in extracted(licence)
        }
    assert set(extracted(licence)) <= set(names(licence))


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        licence = parse(text)
    except ColvertError as error:
        assert error.code is Code.UNRESOLVABLE
    else:
        assert all(name in text for name in names(licence))


@pytest.mark.parametrize(
    ("text", "passes", "wrong"),
    [
        ("MIT GPL-3", {"MIT"}, ["GPL-3"]),
        ("|| ( MIT GPL-3 )", {"MIT"}, []),
        ("|| ( MIT GPL-3 )", {"BSD"}, ["MIT", "GPL-3"]),
        ("|| ( GPL-3 ( MIT BSD ) )", {"MIT", "BSD"}, []),
        ("|| ( GPL-3 ( MIT BSD ) )", {"MIT"}, ["GPL-3", "BSD"]),
        ("", set(), []),
        ("|| ( )", set(), []),
    ],
)
def test_what_does_not_pass(text: str, passes: set[str], wrong: list[str]) -> None:
    assert failing(parse(text), passes) == wrong


@given(LICENCES, st.sets(NAMES))
def test_a_licence_passes_with_more_names_if_it_does_with_less(licence: Licence, passes: set[str]) -> None:
    wrong = failing(licence, passes)
    assert not passes & set(wrong)
    assert not failing(licence, {*passes, *wrong})
