"""Benchmark: what an update downloads, against all of it, and what making its files costs.

Two changes of the default OS: one file of a few bytes, and openssl as an overlay rebuilds it. The
latter replaces openssl's files and nothing above it: with the same interface those come out as they were.

usage: python -m tests.bench.update [--home DIR] [--openssl MANIFEST]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from builder.build.blueprint import Blueprint
from builder.build.image import Image
from builder.build.session import Request, Session, open_session
from builder.build.usr import ROOT_HASH
from builder.pipeline.events import Events
from builder.pipeline.scheduler import Job, closure
from builder.sandbox.home import open_home
from builder.tools.zstd import apply_delta, compress, expand, make_delta
from tests.bench.measure import Row, show
from tests.build.places import open_place
from tests.releases import Made, Variant

BAR_ONE_FILE = 100_000
BAR_OPENSSL = 0.10
OPENSSL = "dev-libs/openssl"
DAY = 86400


def image(variant: Variant, place: Path, replaced: Path | None = None) -> Made:
    """A variant of the default OS, with openssl as another manifest builds it."""
    session = variant.open(place)
    jobs = [*session.builder.jobs(), *Blueprint(session).jobs()]
    if replaced is not None:
        other = open_session(Request(replaced), Events())
        jobs = [_elsewhere(job, other) if job.about[1] == OPENSSL else job for job in jobs]
    done = session.scheduler.run(closure(jobs, ["usr", "boot"]))
    return Made(session, Image(done, session.store.read(done["usr"].part(ROOT_HASH)).decode()))


def _elsewhere(job: Job, other: Session) -> Job:
    """The job of a package, whose stage is the one of another manifest's plan."""
    node = other.plan.find(OPENSSL)
    below = other.build_packages([node.cpv])
    stage = other.builder.stage(node, other.builder.sources(node), below)
    return replace(job, needs=(), make=lambda _done: stage)


def timed(work: Callable[..., Path], *files: Path, sdk_root: Path) -> tuple[int, float]:
    """Bytes of what was written, and seconds."""
    started = time.monotonic()
    made = work(*files, sdk_root=sdk_root)
    return made.stat().st_size, time.monotonic() - started


def whole(made: Made, scratch: Path) -> tuple[int, list[Row]]:
    """The full download."""
    root, rows, total = made.session.sdk.root, [], 0
    for name, path in made.parts.items():
        size, seconds = timed(compress, path, scratch / "whole", sdk_root=root)
        _, back = timed(expand, scratch / "whole", scratch / "back", sdk_root=root)
        rows.append(Row(f"{name}, whole", f"{size} bytes, made in {seconds:.2f} s, read in {back:.2f} s"))
        total += size
    return total, rows


def deltas(what: str, old: Made, new: Made, scratch: Path) -> tuple[int, list[Row]]:
    """The download of a change."""
    root, rows, total = new.session.sdk.root, [], 0
    start = old.parts
    for name, path in new.parts.items():
        before = start[name]
        size, seconds = timed(make_delta, before, path, scratch / "delta", sdk_root=root)
        _, back = timed(apply_delta, before, scratch / "delta", scratch / "back", sdk_root=root)
        rows.append(Row(f"{what}: {name}", f"{size} bytes, made in {seconds:.2f} s, read in {back:.2f} s"))
        total += size
    return total, rows


@click.command()
@click.option("--openssl", type=click.Path(path_type=Path), help="A manifest whose overlay rebuilds openssl.")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
def main(openssl: Path | None, home: Path | None) -> None:
    with open_place(open_home(home).root) as scratch:
        note = "/usr/share/colvert/note"
        first = Variant("1.0.0", {note: "one\n"})
        second = Variant("1.0.1", {note: "two\n"}, epoch=first.epoch + DAY)
        old = image(first, scratch)
        full, rows = whole(old, scratch)
        size, more = deltas("one file", old, image(second, scratch), scratch)
        rows += more
        rows.append(Row("one file, all parts", f"{size} bytes", f"{BAR_ONE_FILE} bytes", size / BAR_ONE_FILE))
        if openssl is not None:
            third = Variant("1.0.2", {note: "one\n"}, epoch=second.epoch)
            size, more = deltas("openssl", old, image(third, scratch, openssl), scratch)
            rows += more
            ratio = size / full
            rows.append(
                Row(
                    "openssl / full download",
                    f"{size} of {full} bytes: {ratio:.3f}",
                    f"{BAR_OPENSSL}",
                    ratio / BAR_OPENSSL,
                )
            )
    show(rows)


if __name__ == "__main__":
    main()
