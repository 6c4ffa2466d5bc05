"""What a build would do, and why, as `colvert plan` and `colvert explain` report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from builder.pipeline.artifact import Artifact
from builder.pipeline.dry_run import Row, Why, dry_run, subject
from builder.pipeline.executor import Executor
from builder.pipeline.ingest import ingest_texts
from builder.pipeline.scheduler import Capacity, Job, Scheduler
from builder.pipeline.stage import Stage, Work
from tests.unit.stages import executor


@dataclass(frozen=True)
class Step(Stage):
    """A stage whose output follows from `gives` alone, so that a change of `title` may end there."""

    name: ClassVar[str] = "step"

    title: str
    use: str
    gives: str
    recipe: Artifact | None = None
    dependencies: tuple[Artifact, ...] = ()

    @property
    def label(self) -> str:
        return self.title

    def run(self, work: Work) -> None:
        (work.out / "file").write_text(self.gives)


@pytest.fixture
def run(tmp_path: Path) -> Executor:
    return executor(tmp_path / "store")


def chain(run: Executor, use: str = "", gives: str = "1", text: str = "x", version: str = "1") -> list[Job]:
    """a/lib, and a/tool above it, and a/other."""
    recipe = ingest_texts(run.store, "recipe", {"ebuild": text.encode(), "same": b""})
    return [
        Job("lib", ("step", "a/lib"), (), lambda _: Step(f"a/lib-{version}", use, gives, recipe)),
        Job(
            "tool",
            ("step", "a/tool"),
            ("lib",),
            lambda done: Step("a/tool-1", "", "", None, (done["lib"].artifact,)),
        ),
        Job("other", ("step", "a/other"), (), lambda _: Step("a/other-1", "", "")),
    ]


def build(run: Executor, jobs: list[Job]) -> None:
    Scheduler(run, Capacity(2, 1 << 30)).run(jobs)


def fates(run: Executor, jobs: list[Job]) -> dict[str, tuple[Why, str]]:
    return {row.job.name: (row.why, row.cause) for row in rows(run, jobs).values()}


def rows(run: Executor, jobs: list[Job]) -> Mapping[str, Row]:
    return {row.job.name: row for row in dry_run(run, jobs)}


def test_nothing_is_run(run: Executor) -> None:
    dry_run(run, chain(run))
    assert list(run.store.entries()) == []


def test_what_was_never_built_is_new(run: Executor) -> None:
    assert fates(run, chain(run)) == {
        "lib": (Why.NEW, ""),
        "other": (Why.NEW, ""),
        "tool": (Why.NEW, ""),
    }


def test_what_is_stored_is_not_built(run: Executor) -> None:
    build(run, chain(run))
    assert {why for why, _ in fates(run, chain(run)).values()} == {Why.STORED}


def test_a_changed_input_is_named(run: Executor) -> None:
    build(run, chain(run))
    found = fates(run, chain(run, use="ssl"))
    assert found["lib"] == (Why.CHANGED, "use")
    assert found["tool"] == (Why.DEPENDENCY, "lib")
    assert found["other"] == (Why.STORED, "")


def test_a_changed_file_is_named(run: Executor) -> None:
    build(run, chain(run))
    row = rows(run, chain(run, text="y"))["lib"]
    assert (row.why, row.cause) == (Why.CHANGED, "recipe, file ebuild")


def test_another_version_is_compared_with_the_last_one(run: Executor) -> None:
    build(run, chain(run))
    assert fates(run, chain(run, version="2.0.1-r3"))["lib"] == (Why.CHANGED, "title")


def test_a_dependency_that_gives_another_output_is_the_reason(run: Executor) -> None:
    build(run, chain(run))
    changed = chain(run, gives="2")
    build(run, changed[:1])
    found = fates(run, changed)
    assert found["lib"] == (Why.STORED, "")
    assert found["tool"] == (Why.DEPENDENCY, "dependencies.0, file file")


def test_a_dependency_that_gives_the_same_is_none(run: Executor) -> None:
    """Early cut-off: the library was built with other flags and came out the same."""
    build(run, chain(run))
    changed = chain(run, use="ssl")
    build(run, changed[:1])
    assert fates(run, changed)["tool"] == (Why.STORED, "")


@pytest.mark.parametrize(
    ("label", "about"),
    [
        ("sys-libs/zlib-1.3.1", "sys-libs/zlib"),
        ("sys-libs/zlib-1.3.1-r2", "sys-libs/zlib"),
        ("sys-libs/timezone-data-2026b", "sys-libs/timezone-data"),
        ("net-misc/openssh-10.0_p1", "net-misc/openssh"),
        ("media-fonts/font-adobe-100dpi-1.0.3", "media-fonts/font-adobe-100dpi"),
        ("x11-libs/libxkb-3d-2", "x11-libs/libxkb-3d"),
        ("colvert 1.2.3", "colvert"),
        ("os-3 1.0", "os-3"),
        ("qemu colvert 1", "qemu"),
        ("12 atoms", "12"),
        ("kernel", "kernel"),
    ],
)
def test_a_label_is_about_something_without_its_version(label: str, about: str) -> None:
    assert subject(label) == about
