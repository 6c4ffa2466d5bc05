"""Command groups `colvert` and `build-image`."""

from __future__ import annotations

import importlib

import click

from builder import __version__
from builder.cli.failures import run

# command -> (module, one line for --help); modules are imported only when their command runs
COMMANDS = {
    "build": ("build", "Build an operating system's images."),
    "run": ("run", "Boot a built image under QEMU."),
    "plan": ("plan", "Show what would be built, and why."),
    "explain": ("explain", "Show the inputs of a package or stage, and which changed."),
    "audit": ("audit", "Check an image against its policy."),
    "diff": ("diff", "Compare two releases."),
    "shell": ("shell", "Enter the sandbox of a package."),
    "reproduce": ("reproduce", "Build twice under varied conditions and compare all outputs."),
    "lock": ("lock", "Pin the external inputs of a build in a lock file."),
    "sources": ("sources", "Export all sources of a release."),
    "targets": ("targets", "List the platforms."),
    "sign": ("sign", "Sign a signing request."),
    "attach": ("attach", "Attach signatures to a release."),
    "verify": ("verify", "Verify a release, or one of its images."),
    "manifest": ("manifest", "Show, check and describe manifests."),
    "digest": ("digest", "Fetch a package's sources and write its Manifest."),
    "sdk": ("sdk", "Create, show and enter the SDK."),
    "store": ("store", "Inspect, verify and prune the store."),
    "keys": ("keys", "Create and manage a project's keys."),
    "doctor": ("doctor", "Check that this machine can build."),
    "man": ("man", "Write the manual pages."),
}


class Lazy(click.Group):
    """A group whose commands are imported when they are used, so that starting is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"builder.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.cli
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="colvert")
def cli() -> None:
    """Build a minimal, verified, self-updating Linux from a manifest and ebuilds.

    \b
    Examples:
      colvert build --target qemu      build the default OS for QEMU
      colvert run                      boot it
      colvert plan                     what would be compiled, and why
      eval "$(_COLVERT_COMPLETE=bash_source colvert)"    shell completion
    """


def main() -> None:
    run(cli, "colvert")


def build_image() -> None:
    from builder.cli.build import cli as build

    run(build, "build-image")
