"""Options shared by the commands that build, and the session that they open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from builder.build.lockfile import NAME
from builder.build.session import Request, Session, open_session
from builder.cli.failures import exit_codes
from builder.pipeline.events import Events
from builder.pipeline.progress import Renderer, renderer
from builder.pipeline.trace import Trace

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Shared:
    """The options that every command knows."""

    manifest: Path | None = None
    home: Path | None = None
    jobs: int | None = None
    json: bool = False
    quiet: bool = False
    mirrors: tuple[str, ...] = ()
    lock: Path | None = None
    sources: Path | None = None
    overrides: dict[str, str] = field(default_factory=dict)


def _options() -> list[Callable[[Any], Any]]:
    """The options themselves, in the order in which --help shows them."""
    return [
        click.option(
            "-m",
            "--manifest",
            type=click.Path(path_type=Path),
            help="Manifest of the OS [manifests/colvert.yaml].",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a value of the manifest; can be repeated.",
        ),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1, 256),
            help="Number of parallel compile processes [CPU cores].",
        ),
        click.option(
            "--home",
            type=click.Path(path_type=Path),
            help="Home directory with the SDK and the store [COLVERT_HOME].",
        ),
        click.option(
            "--distfile-mirror",
            "mirrors",
            multiple=True,
            help="Mirror to try first for sources: a directory or URL; can be repeated.",
        ),
        click.option(
            "--locked",
            is_flag=True,
            help="Require the inputs pinned in colvert.lock; fail if any differs.",
        ),
        click.option(
            "--lock",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Like --locked, with this lock file instead of ./colvert.lock.",
        ),
        click.option(
            "--sources",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Build only from this source export (colvert sources export), without network.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("-q", "--quiet", is_flag=True, help="Print only results and errors."),
    ]


def shared_options(function: Function) -> Function:
    """Adds the common options to a command; it receives them as its first argument, a `Shared`."""

    def wrapped(*args: Any, **given: Any) -> Any:
        shared = Shared(
            given.pop("manifest"),
            given.pop("home"),
            given.pop("jobs"),
            given.pop("as_json"),
            given.pop("quiet"),
            tuple(given.pop("mirrors")),
            _lock(given.pop("locked"), given.pop("lock")),
            given.pop("sources"),
            _pairs(given.pop("overrides")),
        )
        with exit_codes(shared.json):
            return function(shared, *args, **given)

    wrapped.__name__ = function.__name__
    wrapped.__doc__ = function.__doc__
    wrapped.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(_options()):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def _lock(locked: bool, named: Path | None) -> Path | None:
    """The lock that a build is held against, if any."""
    return named or (NAME if locked else None)


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise click.BadParameter(f"{word}: KEY=VALUE expected", param_hint="--set")
        pairs[name] = value
    return pairs


@contextmanager
def opened(shared: Shared, *, trace: Path | None = None, say: Renderer | None = None) -> Iterator[Session]:
    """Open the manifest, the SDK and the store, with progress shown while the block runs."""
    view = say or renderer(json=shared.json, quiet=shared.quiet)
    events = Events(view)
    record = Trace()
    if trace is not None:
        events.add(record)
    request = Request(
        shared.manifest,
        shared.home,
        shared.jobs,
        shared.mirrors,
        shared.overrides,
        shared.lock,
        shared.sources,
    )
    try:
        yield open_session(request, events)
    finally:
        view.close()
        if trace is not None:
            record.write(trace)
