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

# Descriptions of exits, codes and events. A new member requires a line here.
EXITS: Mapping[Exit, str] = {
    Exit.OK: "Success, or nothing to do.",
    Exit.BUILD: "The input was valid, but a step failed; see the log or the output of the machine.",
    Exit.INPUT: "The command did not start: fix the manifest, the command line or this machine first.",
    Exit.HANGUP: "Ended by SIGHUP, such as a closed terminal; cleaned up as after Ctrl-C.",
    Exit.INTERRUPTED: "Interrupted by Ctrl-C. Finished stages are in the store.",
    Exit.TERMINATED: "Ended by SIGTERM; cleaned up as after Ctrl-C.",
}
CODES: Mapping[Code, str] = {
    Code.MANIFEST_MISSING: "The manifest cannot be read.",
    Code.MANIFEST_SYNTAX: "A manifest is not valid YAML, or uses unsupported YAML features.",
    Code.MANIFEST_INVALID: "A manifest has an invalid key or value; all errors are reported at once.",
    Code.INCLUDE_MISSING: "An included file is missing.",
    Code.INCLUDE_CYCLE: "A file includes itself, directly or through other files.",
    Code.OVERLAY_MISSING: "A directory, repository or commit under `overlays` is missing or invalid.",
    Code.OVERLAY_INVALID: "A file of an overlay is invalid, such as its name in `profiles/repo_name`.",
    Code.UNRESOLVABLE: "Portage cannot resolve the packages; the detail has its output.",
    Code.UNKNOWN_PACKAGE: "No package of the plan has this name.",
    Code.UNKNOWN_TARGET: "No platform has this name.",
    Code.PACKAGE_REFUSED: "A package has files that an image cannot store, such as file capabilities.",
    Code.LICENCE_REFUSED: "A package of the image has a licence that the manifest refuses or does not allow.",
    Code.LICENCE_TEXT: "The text of a package's licence is missing from the overlays' `licenses/`.",
    Code.USAGE: "An invalid argument, or an unusable file.",
    Code.HOST_TOOL: "A required program is missing on the host; the hint has its package.",
    Code.NO_USERNS: "User namespaces are disabled on this machine; `colvert doctor` prints the setting.",
    Code.NO_SPACE: "Not enough free space on the disk.",
    Code.BUSY: "In use by another process.",
    Code.NOT_BUILT: "The image or release is not built yet.",
    Code.RELEASE_INVALID: "Update files, or their index, are damaged, incomplete or of another system.",
    Code.LOCK_INVALID: "A lock file is missing, damaged, or of another format.",
    Code.LOCK_DIFFERS: "An input differs from the lock file; every difference is reported with both values.",
    Code.SOURCES_INVALID: "A source export is damaged, incomplete, or of another Colvert.",
    Code.SIGNATURE_INVALID: "A signature is missing, damaged, of other content, or not by a trusted key.",
    Code.POLICY: "The signing policy does not allow an item.",
    Code.FETCH_FAILED: "A source was not found on any mirror; the detail has the answer of each.",
    Code.WRONG_DIGEST: "A source does not match its digest in the Manifest. It was not unpacked.",
    Code.COMMAND_FAILED: "A program failed; the hint is the command line to run it again.",
    Code.PACKAGE_FAILED: "A package failed to build; the detail is the end of its log.",
    Code.SDK_FAILED: "The SDK could not be created.",
    Code.CODE_CHANGED: "A file of Colvert's own code was edited while it ran; nothing of that was kept.",
    Code.STORE_CORRUPT: "A store entry did not match its digest. It was set aside; the next run rebuilds it.",
    Code.STORE_UNREADABLE: "The store cannot be read, or has another format. Nothing was removed.",
    Code.IMAGE_INVALID: "The packages do not form an image: a file conflict, or a missing file.",
    Code.TOO_LARGE: "An output exceeds its size limit.",
    Code.BOOT_FAILED: "A machine did not boot, or its console shows errors.",
    Code.AUDIT_FAILED: "An image has findings that its policy does not allow, or the policy is out of date.",
    Code.OUTPUT: "Standard output cannot be written: full, or closed.",
    Code.UNFORESEEN: "A mistake of Colvert's own; the hint names a file to report it with.",
}
KINDS: Mapping[Kind, tuple[str, str]] = {
    Kind.PLANNED: ("total", "The packages are resolved."),
    Kind.STARTED: ("stage, label", "A stage started; it was not in the store."),
    Kind.PHASE: ("stage, label, phase", "A running stage reached its next phase."),
    Kind.FINISHED: ("stage, label, seconds", "A stage finished, and its output is in the store."),
    Kind.CACHED: ("stage, label", "A stage's output was found in the store."),
    Kind.FAILED: ("stage, label, seconds, text", "A stage failed. Other running stages finish first."),
    Kind.TRANSFER: ("stage, label, done, total", "Progress of a download."),
    Kind.MESSAGE: ("text", "Information for the user."),
    Kind.WARNING: ("text", "A problem that does not stop the build."),
    Kind.OUTPUT: ("stage, label, text", "An output file was written."),
}


def exit_codes() -> str:
    """The tables of `docs/reference/exit-codes.md`."""
    lines = ["| exit | meaning |", "| --- | --- |"]
    lines += [f"| {value.value} | {EXITS[value]} |" for value in Exit]
    lines += ["", "| code | exit | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{code.value}` | {code.exit.value} | {CODES[code]} |" for code in Code]
    return "\n".join(lines) + "\n"


def events() -> str:
    """The tables of `docs/reference/events.md`."""
    lines = ["| kind | fields | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{kind.value}` | {fields} | {text} |" for kind, (fields, text) in KINDS.items()]
    lines += ["", "| field | type | meaning |", "| --- | --- | --- |"]
    schema = Event.model_json_schema()["properties"]
    for name, field in Event.model_fields.items():
        kind = schema[name].get("type", "string")
        lines.append(f"| `{name}` | {kind} | {field.description or _WITHOUT[name]} |")
    return "\n".join(lines) + "\n"


_WITHOUT: Mapping[str, str] = {
    "kind": "kind of the event, see above",
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
