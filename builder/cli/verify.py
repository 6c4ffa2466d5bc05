"""`colvert verify`: verify a release, or an image of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from builder.cli.failures import exit_codes
from builder.errors import Code, ColvertError, printable, raise_all
from builder.pipeline.events import Events
from builder.sandbox.home import open_home
from builder.sandbox.run import run
from builder.sandbox.sdk import Sdk, ensure_sdk
from builder.signing.trust import Known, Trust, read_trust
from builder.tools import zstd
from builder.updates.keys import development_key
from builder.verify.image import verify_image
from builder.verify.release import Expand, Report, Verifier

STATE = Path(".colvert")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("place", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Trust root: a directory of public keys, or a file; can be repeated [the development key].",
)
@click.option(
    "--image", type=click.Path(path_type=Path, dir_okay=False), help="Verify this disk image instead."
)
@click.option(
    "--release",
    type=click.Path(path_type=Path, file_okay=False),
    help="Release of the --image.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
def cli(
    place: Path | None, trust: tuple[Path, ...], image: Path | None, release: Path | None, home: Path | None
) -> None:
    """Verify the release in DIR, offline, against a trust root.

    \b
    Examples:
      colvert verify out/1.0.0 --trust keys
      colvert verify --image disk.vmdk --release out/1.0.0 --trust keys
    """
    with exit_codes():
        named = release or place
        if named is None or (image is None) != (release is None):
            raise ColvertError(Code.USAGE, "either DIR, or --image FILE with --release DIR, is required")
        root = read_trust(trust) if trust else _own()
        verifier = Verifier(named, root, _expander(home))
        report = verifier.run() if image is None else verify_image(image, verifier, _sdk(home).root)
        _show(report)


def _own() -> Trust:
    """The checkout's own key, for what the checkout itself built."""
    return Trust((Known("development", development_key(STATE).public),))


def _sdk(home: Path | None) -> Sdk:
    return ensure_sdk(open_home(home), Events())


def _expander(home: Path | None) -> Expand:
    """zstd of the machine, so that a user needs nothing else; the SDK's where there is none."""

    def by_sdk(source: Path, out: Path, limit: int) -> Path:
        out.parent.chmod(0o755)
        return zstd.expand(source, out, sdk_root=_sdk(home).root, limit=limit)

    return expand_here if shutil.which("zstd") else by_sdk


def expand_here(source: Path, out: Path, limit: int) -> Path:
    """Decompress a frame with the machine's own zstd, up to `limit` bytes."""
    run([*zstd.at_most(limit), "zstd", "-d", "-q", "--long=31", "-o", out, source])
    return out


def _show(report: Report) -> None:
    for line in report.held:
        click.echo(f"ok  {printable(line)}")
    raise_all(report.errors)
