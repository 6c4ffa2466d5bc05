"""Tests: the parts of `docs/reference/` that are made from the code; `test_docs.py` keeps them current."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

import click

from builder.cli.main import cli
from builder.cli.man import _commands
from builder.errors import Code, Exit
from builder.pipeline.events import Event, Kind

# What the names in the code do not say by themselves. A new member needs a line here.
EXITS: Mapping[Exit, str] = {
    Exit.OK: "It was done, or there was nothing to do.",
    Exit.BUILD: "The input was good, but something failed on the way: the log, or the machine, tells what.",
    Exit.INPUT: "Nothing was begun: the manifest, the command line or this machine has to change first.",
    Exit.INTERRUPTED: "Stopped by Ctrl-C. What was finished is in the store.",
}
CODES: Mapping[Code, str] = {
    Code.MANIFEST_MISSING: "The manifest cannot be read.",
    Code.MANIFEST_SYNTAX: "A manifest is no YAML, or uses a part of YAML that manifests do not have.",
    Code.MANIFEST_INVALID: "A key or value that a manifest cannot have; all of a file are told at once.",
    Code.INCLUDE_MISSING: "An included file is not there.",
    Code.INCLUDE_CYCLE: "A file includes itself, directly or by way of others.",
    Code.OVERLAY_MISSING: "A directory, repository or commit named under `overlays` is missing, or is none.",
    Code.OVERLAY_INVALID: "A file of an overlay is not what it has to be, such as a name that cannot be one.",
    Code.UNRESOLVABLE: "Portage finds no set of packages that fits; its reason is in the detail.",
    Code.UNKNOWN_PACKAGE: "No package of the plan has that name.",
    Code.UNKNOWN_TARGET: "No platform has that name.",
    Code.PACKAGE_REFUSED: "A package does what an image would lose, such as capabilities of files.",
    Code.LICENCE_REFUSED: "A package of the image has a licence that the manifest refuses or does not allow.",
    Code.LICENCE_TEXT: "A licence of a package of the image has no text in an overlay's `licenses/`.",
    Code.USAGE: "An argument that cannot be, or a file that cannot be used.",
    Code.HOST_TOOL: "A program that the host must have is missing; the hint names its package.",
    Code.NO_USERNS: "This machine forbids user namespaces; `colvert doctor` names the knob.",
    Code.NO_SPACE: "Too little room on the disk.",
    Code.BUSY: "Another process uses it now.",
    Code.NOT_BUILT: "What the command works on has not been built yet.",
    Code.RELEASE_INVALID: "Update files, or their index, are damaged, incomplete or of another system.",
    Code.LOCK_INVALID: "A lock that is missing, damaged, or of another format.",
    Code.LOCK_DIFFERS: "Something is not as the lock has it; each difference is told with both values.",
    Code.SOURCES_INVALID: "An export of sources that is damaged, not whole, or does not fit this Colvert.",
    Code.SIGNATURE_INVALID: "A signature is missing, damaged, over something else, or not by a trusted key.",
    Code.POLICY: "What should be signed is not what the policy allows.",
    Code.FETCH_FAILED: "No place has a source; the detail tells what each answered.",
    Code.WRONG_DIGEST: "A source is not the one that the overlay's Manifest pins. It was not unpacked.",
    Code.COMMAND_FAILED: "A program failed; the hint is the command line that runs it again.",
    Code.PACKAGE_FAILED: "A package failed to build; the detail is the end of its log.",
    Code.SDK_FAILED: "The SDK could not be made.",
    Code.STORE_CORRUPT: "A stored entry did not match its digest. It was set aside; the next run remakes it.",
    Code.STORE_UNREADABLE: "The store has another format, or cannot be read now. Nothing was removed.",
    Code.IMAGE_INVALID: "The packages do not make an image: two bring one file, or a needed one is missing.",
    Code.TOO_LARGE: "An output does not fit where it has to go.",
    Code.BOOT_FAILED: "A machine did not come up, or told of trouble on its way.",
    Code.AUDIT_FAILED: "An image has what its policy does not allow, or the policy is out of date.",
}
KINDS: Mapping[Kind, tuple[str, str]] = {
    Kind.PLANNED: ("total", "The packages are known."),
    Kind.STARTED: ("stage, label", "A stage runs; it was not in the store."),
    Kind.PHASE: ("stage, label, phase", "A running stage has come to its next step."),
    Kind.FINISHED: ("stage, label, seconds", "A stage is done and its output is in the store."),
    Kind.CACHED: ("stage, label", "A stage's output was in the store."),
    Kind.FAILED: ("stage, label, seconds, text", "A stage failed. Others that run are finished first."),
    Kind.TRANSFER: ("stage, label, done, total", "A source is coming in."),
    Kind.MESSAGE: ("text", "Something to know."),
    Kind.WARNING: ("text", "Something to look after."),
    Kind.OUTPUT: ("stage, label, text", "A file of the result is in its place."),
}


def exit_codes() -> str:
    """The tables of `docs/reference/exit-codes.md`."""
    lines = ["| exit | when |", "| --- | --- |"]
    lines += [f"| {value.value} | {EXITS[value]} |" for value in Exit]
    lines += ["", "| code | exit | what it means |", "| --- | --- | --- |"]
    lines += [f"| `{code.value}` | {code.exit.value} | {CODES[code]} |" for code in Code]
    return "\n".join(lines) + "\n"


def events() -> str:
    """The tables of `docs/reference/events.md`."""
    lines = ["| kind | fields that count | what happened |", "| --- | --- | --- |"]
    lines += [f"| `{kind.value}` | {fields} | {text} |" for kind, (fields, text) in KINDS.items()]
    lines += ["", "| field | type | what it says |", "| --- | --- | --- |"]
    schema = Event.model_json_schema()["properties"]
    for name, field in Event.model_fields.items():
        kind = schema[name].get("type", "string")
        lines.append(f"| `{name}` | {kind} | {field.description or _WITHOUT[name]} |")
    return "\n".join(lines) + "\n"


_WITHOUT: Mapping[str, str] = {
    "kind": "what happened, one of the kinds above",
    "time": "seconds since 1970, to the millisecond",
}


# What `builder.cli.common.shared_options` adds; told once.
SHARED = (
    "manifest",
    "overrides",
    "jobs",
    "home",
    "mirrors",
    "locked",
    "lock",
    "sources",
    "as_json",
    "quiet",
)
# "command      what it does", as the examples of `colvert --help` have it
REMARK = re.compile(r"(\S.*?) {3,}(\S.*)")


def commands() -> str:
    """The body of `docs/reference/commands.md`, from what `--help` prints."""
    known = _commands(cli, "colvert")
    build = dict(known)["colvert build"]
    lines = ["## Shared options", "", "Every command that reads a manifest has them.", ""]
    lines += _table(build, [item for item in build.params if item.name in SHARED])
    for name, command in known:
        lines += ["", *_command(name, command)]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    yield from (f"## {name}", "", f"`{name} {' '.join(command.collect_usage_pieces(context))}`")
    for block in inspect.cleandoc(command.help or "").replace("\b\n", "\b").split("\n\n"):
        yield ""
        if block.startswith("\b"):
            title, _, rest = block.lstrip("\b").partition("\n")
            examples = (REMARK.sub(r"\1   # \2", line.strip()) for line in rest.splitlines())
            yield from (title, "", "```sh", *examples, "```")
        else:
            yield block
    own = [item for item in command.params if isinstance(item, click.Option)]
    if {item.name for item in own} >= set(SHARED):
        own = [item for item in own if item.name not in SHARED]
        yield from ("", "It has the [shared options](#shared-options).")
    if own:
        yield from ("", *_table(command, own))


def _table(command: click.Command, options: list[click.Parameter] | list[click.Option]) -> list[str]:
    context = click.Context(command)
    records = (option.get_help_record(context) for option in options)
    rows = [f"| `{record[0]}` | {record[1]} |".replace("  [", " [") for record in records if record]
    return ["| option | what it does |", "| --- | --- |", *rows]
