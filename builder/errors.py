"""The exception type of the whole program, its codes and exit codes.

Every failure that a user can meet is a `ColvertError`: what went wrong, where, and what to
do next. Tests assert on `code`; the text may change at any time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Exit(IntEnum):
    """Exit codes, documented in `docs/reference/exit-codes.md`."""

    OK = 0
    BUILD = 1
    INPUT = 2
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class Code(StrEnum):
    """Stable names of the ways to fail; the part before the dot is the kind of fault: input or build."""

    MANIFEST_MISSING = "input.manifest-missing"
    MANIFEST_SYNTAX = "input.manifest-syntax"
    MANIFEST_INVALID = "input.manifest-invalid"
    INCLUDE_MISSING = "input.include-missing"
    INCLUDE_CYCLE = "input.include-cycle"
    OVERLAY_MISSING = "input.overlay-missing"
    OVERLAY_INVALID = "input.overlay-invalid"
    UNRESOLVABLE = "input.unresolvable"
    UNKNOWN_PACKAGE = "input.unknown-package"
    UNKNOWN_TARGET = "input.unknown-target"
    LICENCE_REFUSED = "input.licence-refused"
    PACKAGE_REFUSED = "input.package-refused"
    LICENCE_TEXT = "input.licence-text-missing"
    USAGE = "input.usage"
    HOST_TOOL = "input.host-tool-missing"
    NO_USERNS = "input.no-user-namespaces"
    NO_SPACE = "input.no-space"
    BUSY = "input.busy"
    NOT_BUILT = "input.not-built"
    RELEASE_INVALID = "input.release-invalid"
    LOCK_INVALID = "input.lock-invalid"
    LOCK_DIFFERS = "input.lock-differs"
    SOURCES_INVALID = "input.sources-invalid"
    SIGNATURE_INVALID = "input.signature-invalid"
    POLICY = "input.policy"
    FETCH_FAILED = "build.fetch-failed"
    WRONG_DIGEST = "build.wrong-digest"
    COMMAND_FAILED = "build.command-failed"
    PACKAGE_FAILED = "build.package-failed"
    SDK_FAILED = "build.sdk-failed"
    STORE_CORRUPT = "build.store-corrupt"
    CODE_CHANGED = "build.code-changed"
    STORE_UNREADABLE = "input.store-unreadable"
    IMAGE_INVALID = "build.image-invalid"
    TOO_LARGE = "build.too-large"
    BOOT_FAILED = "build.boot-failed"
    AUDIT_FAILED = "build.audit-failed"
    OUTPUT = "build.output-unwritable"
    UNFORESEEN = "build.unforeseen"

    @property
    def exit(self) -> Exit:
        return Exit.INPUT if self.value.startswith("input.") else Exit.BUILD


# control, format (such as: write from right to left), no character, line and paragraph: Unicode 15, 4.5
ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, *, lines: bool = False) -> str:
    """A text from untrusted files, with control characters escaped for a terminal."""
    kept = "\t\n" if lines else "\t"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode()
        if unicodedata.category(one) in ACTING and one not in kept
        else one
        for one in text
    )


@dataclass(frozen=True)
class Location:
    """A place in a text file; line and column count from 1, 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


class ColvertError(Exception):
    """One failure: `what` happened, `where`, and the next thing to do (`hint`).

    `detail` holds lines that explain it, such as the end of a log; `others` the further
    errors found in the same run, so that all mistakes of one file are reported at once.
    """

    def __init__(
        self,
        code: Code,
        what: str,
        *,
        where: Location | None = None,
        hint: str = "",
        detail: Iterable[str] = (),
        others: Iterable[ColvertError] = (),
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.hint = hint
        self.detail = tuple(detail)
        self.others = tuple(others)

    def but(
        self,
        *,
        what: str | None = None,
        where: Location | None = None,
        hint: str | None = None,
        detail: Iterable[str] | None = None,
        others: Iterable[ColvertError] | None = None,
    ) -> ColvertError:
        """A copy of this error with the given fields replaced."""
        return ColvertError(
            self.code,
            self.what if what is None else what,
            where=where or self.where,
            hint=self.hint if hint is None else hint,
            detail=self.detail if detail is None else detail,
            others=self.others if others is None else others,
        )

    @property
    def exit(self) -> Exit:
        return self.code.exit

    def lines(self) -> list[str]:
        """The message as a terminal shows it."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        out = [printable(head), *(f"  | {printable(line)}" for line in self.detail)]
        if self.hint:
            out.append(f"  try: {printable(self.hint, lines=True)}")
        for other in self.others:
            out.extend(other.lines())
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines())


def raise_all(errors: Sequence[ColvertError]) -> None:
    """Raise everything that was found in one go as one error; nothing where there is nothing."""
    if errors:
        first, *rest = errors
        raise first.but(others=(*first.others, *rest))
