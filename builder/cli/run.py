"""`colvert run`: boot a built image under QEMU."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from builder.cli.failures import exit_codes
from builder.errors import Code, ColvertError
from builder.machine.files import Host
from builder.machine.qemu import Forward
from builder.machine.session import RunOptions, run_image
from builder.machine.variables import enroll
from builder.machine.warm import WarmMachine
from builder.pipeline.code import CodeDigests
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.executor import Executor
from builder.pipeline.store import Store
from builder.sandbox.home import open_home
from builder.sandbox.sdk import ensure_sdk
from builder.signing.project_keys import ProjectKeys, development_keys, utc_now


def newest(out: Path) -> Path:
    """The disk of the build that `build-image` made last."""
    found = sorted(out.glob("*/qemu/*.qcow2"), key=lambda path: path.lstat().st_mtime)
    if not found:
        raise ColvertError(
            Code.NOT_BUILT, f"no image in {out}", hint="build one with build-image --target qemu"
        )
    return found[-1]


def executor_of(home: Path | None) -> Executor:
    """The executor that creates snapshots of machines in the home's store."""
    place = open_home(home)

    def show(event: Event) -> None:
        if event.stage == WarmMachine.name and event.kind is Kind.STARTED:
            click.echo("no snapshot of this machine yet: booting it once (about a minute)", err=True)

    code = CodeDigests(cache=place.cache / "code.json")
    return Executor(Store(place.store), Events(show), ensure_sdk(place, Events()), place.local(), code)


def check_warm(unfit: Mapping[str, object]) -> None:
    """Refuse --warm together with options (name -> value) that a restored machine cannot have."""
    for name, value in unfit.items():
        if value:
            raise ColvertError(
                Code.USAGE,
                f"--warm cannot be combined with {name}: a restored machine has booted already",
                hint=f"remove --warm or {name}",
            )


def host_of(home: Path | None) -> Host:
    """The host of machines; creates the SDK if it is missing."""
    place = open_home(home)
    sdk = ensure_sdk(place, Events())
    return Host(sdk.root, place.root / "machines", Path(".colvert").absolute())


@contextmanager
def firmware_variables(host: Host, roots: Path, keys: Path | None, *, wanted: bool) -> Iterator[Path | None]:
    """A file with the variables of a firmware that has the keys enrolled; nothing where it is not wanted."""
    if not wanted:
        yield None
        return
    project = ProjectKeys(keys) if keys else development_keys(host.checkout_state, utc_now())
    with TemporaryDirectory(prefix="colvert-firmware-") as place:
        path = Path(place, "vars.fd")
        yield enroll(host.sdk, roots, project.variables(), path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.argument("command", nargs=-1)
@click.option(
    "--ssh", is_flag=True, help="Authorize the checkout's ssh key, then open a shell, or run COMMAND."
)
@click.option(
    "--warm",
    is_flag=True,
    help="Restore the machine from a snapshot (created at first use) instead of booting.",
)
@click.option(
    "--forward",
    "forwards",
    multiple=True,
    metavar="[HOST:]GUEST",
    help="Forward a port of 127.0.0.1 to the machine; can be repeated.",
)
@click.option("--memory", type=click.IntRange(128), default=1024, show_default=True, help="Memory in MiB.")
@click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="Number of CPUs.")
@click.option("--screenshot", type=click.Path(path_type=Path), help="Save a screenshot (PNG) after the boot.")
@click.option("--secure-boot", is_flag=True, help="Boot with Secure Boot, with the keys of --keys enrolled.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    help="Directory of the project's keys [the development keys of the checkout].",
)
@click.option("--persist", metavar="NAME", help="Keep the machine's disk, under this name.")
@click.option(
    "--until",
    type=click.Choice(["login"]),
    help="Stop at the login prompt; fail if the console shows errors.",
)
@click.option(
    "--timeout", type=float, default=300.0, show_default=True, help="Timeout of the boot in seconds."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    help="Output directory of the build [out].",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
def cli(
    image: Path | None,
    command: tuple[str, ...],
    ssh: bool,
    warm: bool,
    forwards: tuple[str, ...],
    memory: int,
    cpus: int,
    screenshot: Path | None,
    secure_boot: bool,
    keys: Path | None,
    persist: str | None,
    until: str | None,
    timeout: float,
    out: Path,
    home: Path | None,
) -> None:
    """Boot an image (by default the last one built) under QEMU.

    The image itself is never modified: a machine's disk is discarded at the end, unless
    --persist keeps it. Login requires --ssh or --warm, which pass a key.

    \b
    Examples:
      colvert run
      colvert run --ssh
      colvert run --ssh out/1.0/qemu/colvert-1.0-qemu.qcow2 systemctl status
      colvert run --warm --ssh
      colvert run --secure-boot --keys /media/keys
      colvert run --persist work --forward 8080:80
    """
    with exit_codes():
        if keys is not None and not secure_boot:
            raise ColvertError(
                Code.USAGE, "--keys requires --secure-boot", hint="add --secure-boot, or remove --keys"
            )
        if warm:
            check_warm({"--secure-boot": secure_boot, "--persist": persist, "--until": until})
        host = host_of(home)
        with firmware_variables(host, open_home(home).cache, keys, wanted=secure_boot) as variables:
            options = RunOptions(
                image=image or newest(out),
                ssh=ssh,
                warm=warm,
                command=command,
                forwards=tuple(Forward.parse(text) for text in forwards),
                memory=memory,
                cpus=cpus,
                screenshot=screenshot,
                secure_boot=variables,
                persist=persist,
                console=until is None and not ssh and sys.stdin.isatty(),
                until_login=until == "login",
                timeout=timeout,
            )
            say = partial(click.echo, err=True)
            sys.exit(run_image(options, host, say, lambda: executor_of(home)))
