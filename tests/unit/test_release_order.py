"""The order of versions: the UAPI group's examples, as far as ours can be like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.updates.order import newer, order_key

versions = st.from_regex(r"\A[0-9][0-9A-Za-z]{0,4}(\.[0-9A-Za-z]{1,4}){0,3}\Z")


@pytest.mark.parametrize(
    "rising",
    [
        ["0", "0.9", "1", "1.0", "1.0.0", "1.0.1", "1.9.0", "1.10.0", "2"],
        ["1.0", "1.0a", "1.0b", "1.1"],
        ["1a", "1aa", "1b"],
        ["1.A", "1.a"],
        ["261124.dirty", "261124.000001", "261124.101010", "261125.000000"],
        ["1.0.0", "261124.101010"],
    ],
)
def test_versions_rise(rising: list[str]) -> None:
    assert sorted(set(rising), key=order_key) == rising


def test_zeros_before_a_number_do_not_count() -> None:
    assert not newer("1.01", "1.1")
    assert not newer("1.1", "1.01")


@given(versions, versions, versions)
def test_it_is_an_order(one: str, two: str, three: str) -> None:
    assert not (newer(one, two) and newer(two, one))
    if newer(one, two) and newer(two, three):
        assert newer(one, three)
