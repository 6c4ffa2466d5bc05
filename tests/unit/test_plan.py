"""Plans: graph order, sysroots and the reading of what Portage says."""

from __future__ import annotations

from typing import Any

import pytest

from builder.errors import Code, ColvertError
from builder.packages.graph import as_dot
from builder.packages.plan import Node, Plan, shorten
from builder.pipeline.dry_run import Change, compare


def node(cpv: str, **dependencies: tuple[str, ...]) -> Node:
    category, _, pf = cpv.partition("/")
    fields: dict[str, Any] = {
        "cpv": cpv,
        "category": category,
        "name": pf.rpartition("-")[0],
        "pf": pf,
        "version": pf.rpartition("-")[2],
        "slot": "0",
        "repository": "colvert",
        "use": (),
        "iuse": (),
        "ebuild": "",
        "eclasses": (),
        "distfiles": {},
        "licence": "",
        "licences": (),
        "description": "",
        "homepage": "",
        "dependencies": {f"a/{name}-1": kinds for name, kinds in dependencies.items()},
    }
    return Node(**fields)


def plan(*packages: Node, roots: tuple[str, ...] = ()) -> Plan:
    return Plan(packages=packages, roots=roots, profiles=())


CHAIN = plan(
    node("a/libc-1"),
    node("a/lib-1", libc=("build", "run")),
    node("a/tool-1", lib=("build", "run"), data=("run",)),
    node("a/data-1"),
    node("a/user-1", tool=("build",)),
    roots=("a/user-1",),
)


def test_a_sysroot_has_declared_build_dependencies_and_what_they_need_to_run() -> None:
    assert CHAIN.sysroot("a/tool-1") == ["a/lib-1", "a/libc-1"]
    assert CHAIN.sysroot("a/user-1") == ["a/data-1", "a/lib-1", "a/libc-1", "a/tool-1"]
    assert CHAIN.sysroot("a/data-1") == []


def test_the_order_puts_each_after_its_sysroot() -> None:
    seen: list[str] = []
    order = CHAIN.order()
    while order.is_active():
        ready = order.get_ready()
        for cpv in ready:
            assert set(CHAIN.sysroot(cpv)) <= set(seen)
        seen += ready
        order.done(*ready)
    assert len(seen) == 5


def test_a_circle_of_build_dependencies_is_told() -> None:
    circle = plan(node("a/x-1", y=("build",)), node("a/y-1", x=("build",)))
    with pytest.raises(ColvertError) as caught:
        circle.order()
    assert caught.value.code is Code.UNRESOLVABLE
    assert {"a/x-1", "a/y-1"} <= set(caught.value.what.split())


def test_a_circle_of_runtime_dependencies_is_fine() -> None:
    circle = plan(node("a/x-1", y=("run",)), node("a/y-1", x=("run",)))
    circle.order()
    assert circle.runtime(["a/x-1"]) == ["a/x-1", "a/y-1"]


def test_the_image_has_what_was_asked_for_and_what_that_needs_to_run() -> None:
    assert CHAIN.shipped == ["a/user-1"]
    asked = plan(*CHAIN.packages, roots=("a/tool-1",))
    assert asked.shipped == ["a/data-1", "a/lib-1", "a/libc-1", "a/tool-1"]


def test_a_package_is_found_by_any_of_its_names_and_guessed_at_otherwise() -> None:
    assert CHAIN.find("tool") == CHAIN.find("a/tool") == CHAIN.find("a/tool-1")
    with pytest.raises(ColvertError) as caught:
        CHAIN.find("a/tol")
    assert caught.value.code is Code.UNKNOWN_PACKAGE
    assert "a/tool" in caught.value.hint


def test_the_graph_names_every_package_and_edge() -> None:
    dot = as_dot(CHAIN)
    assert '"a/tool-1" -> "a/lib-1" [style=solid];' in dot
    assert '"a/tool-1" -> "a/data-1" [style=dashed];' in dot


def test_portages_explanation_is_shortened() -> None:
    reason = 'emerge: there are no ebuilds to satisfy "a/b".'
    assert shorten(f"\x1b[32mCalculating dependencies\x1b[0m  ... done!\n\n{reason}\n") == [reason]
    assert len(shorten("x\n" * 1000)) == 20


def test_compare_tells_what_was_added_removed_and_changed() -> None:
    assert compare({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == [
        Change("a", "1", ""),
        Change("b", "2", "3"),
        Change("c", "", "4"),
    ]
