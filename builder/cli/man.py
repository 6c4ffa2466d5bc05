"""`colvert man DIR`: manual pages made from the commands' help."""

from __future__ import annotations

from pathlib import Path

import click

from builder import __version__

ESCAPES = str.maketrans({"\\": "\\\\", "-": "\\-"})


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def cli(directory: Path) -> None:
    """Write manual pages to a directory (colvert.1, colvert-build.1, ...)."""
    from builder.cli.main import cli as root

    directory.mkdir(parents=True, exist_ok=True)
    for name, command in _commands(root, "colvert"):
        (directory / f"{name.replace(' ', '-')}.1").write_text(page(name, command), encoding="utf-8")


def _commands(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
    found = [(name, command)]
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for inner in command.list_commands(context):
            child = command.get_command(context, inner)
            if child is not None:
                found += _commands(child, f"{name} {inner}")
    return found


def page(name: str, command: click.Command) -> str:
    """One page in man(7)'s macros."""
    context = click.Context(command, info_name=name)
    title = name.replace(" ", "-")
    lines = [f'.TH {title.upper()} 1 "" "Colvert {__version__}"', ".SH NAME"]
    lines += [f"{title} \\- {command.get_short_help_str(200)}".translate(str.maketrans({}))]
    usage = " ".join(command.collect_usage_pieces(context))
    lines += [".SH SYNOPSIS", f".B {name}", usage.translate(ESCAPES), ".SH DESCRIPTION"]
    for block in (command.help or "").replace("\b\n", "\b").split("\n\n"):
        literal = block.startswith("\b")
        text = block.lstrip("\b").translate(ESCAPES)
        lines += [".nf", text, ".fi"] if literal else [".PP", text]
    rows = [
        row
        for row in (parameter.get_help_record(context) for parameter in command.get_params(context))
        if row
    ]
    if rows:
        lines.append(".SH OPTIONS")
        for option, text in rows:
            lines += [".TP", f".B {option.translate(ESCAPES)}", text.translate(ESCAPES)]
    return "\n".join(lines) + "\n"
