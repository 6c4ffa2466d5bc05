"""Findings of an audit, and the exceptions of the policy that cover them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from builder.audit.policy import Allowance, Check, LoadedPolicy, line_for
from builder.errors import Code, ColvertError, Location

# Why each matters: told with every finding.
WHY: Mapping[tuple[Check, str], str] = {
    (Check.HARDENING, "pie"): "its code is at an address that an attacker knows",
    (Check.HARDENING, "relro"): "the table of its library calls can be written while it runs",
    (Check.HARDENING, "now"): "the table of its library calls can be written while it runs",
    (Check.HARDENING, "noexecstack"): "what somebody writes to its stack can be run",
    (Check.HARDENING, "no-text-relocations"): "its code has to be writable while it is loaded",
    (Check.HARDENING, "cet"): "the processor cannot refuse jumps to where no function begins",
    (Check.HARDENING, "fortify"): "glibc does not check how long what it formats may become",
    (Check.HARDENING, "no-run-path"): "somebody else may put a library there",
    (Check.HARDENING, "readable"): "nobody can tell what it lacks",
    (Check.SYMBOLS, ""): "nobody can tell how it was compiled, and no crash of it can be read",
    (Check.COMPILED, "-fstack-protector-strong"): "an overrun of a buffer reaches the return address",
    (Check.COMPILED, "-fstack-clash-protection"): "a large frame can step over the stack's guard page",
    (Check.COMPILED, "-fcf-protection=full"): "the processor cannot refuse jumps to where no function begins",
    (Check.SETUID, ""): "whoever starts it gets the rights of its owner",
    (Check.WRITABLE, ""): "every user and every service can change it",
    (Check.LIBRARIES, ""): "it cannot start, or fails when it needs the library",
    (Check.LINKS, ""): "whoever follows it finds nothing",
    (Check.OWNERS, ""): "nobody knows where it came from, so nobody updates it",
    (Check.SOCKETS, ""): "it can be reached by whoever reaches the machine",
    (Check.STALE, ""): "it would allow later what it was not written for",
}


@dataclass(frozen=True)
class Found:
    """What one check came upon: a subject (a path, package or process) and what is the matter with it."""

    check: Check
    subject: str
    detail: str
    what: str
    owner: str = ""


@dataclass(frozen=True)
class Finding:
    """What the policy does not allow."""

    check: Check
    subject: str
    what: str
    why: str
    owner: str = ""
    # the line of a policy that would allow it
    allow: str = ""
    where: Location | None = None


@dataclass(frozen=True)
class Verdict:
    """The findings, and what was allowed, with the reason given for it."""

    findings: tuple[Finding, ...]
    allowed: tuple[tuple[Found, Allowance], ...]

    def refuse(self) -> None:
        """Raise the findings as one error, if there are any."""
        if self.findings:
            number = len(self.findings)
            raise ColvertError(
                Code.AUDIT_FAILED,
                f"{number} finding{'s' * (number != 1)} that the policy does not allow",
                hint="mend what brings it, or write the line with a reason into the policy",
            )


def judge(found: Iterable[Found], loaded: LoadedPolicy, looked: Sequence[Check]) -> Verdict:
    """Hold what was found against the policy; of the checks that looked, unused lines are findings too."""
    findings: list[Finding] = []
    allowed: list[tuple[Found, Allowance]] = []
    used: set[Allowance] = set()
    for one in sorted(
        set(found), key=lambda item: (list(Check).index(item.check), item.subject, item.detail)
    ):
        fitting = [line for line in loaded.allowances if line.allows(one.check, one.subject, one.detail)]
        used.update(fitting)
        if fitting:
            allowed.append((one, fitting[0]))
        else:
            findings.append(_finding(one))
    stale = [line for line in loaded.allowances if line.check in looked and line not in used]
    return Verdict((*findings, *(_stale(line) for line in stale)), tuple(allowed))


def _finding(found: Found) -> Finding:
    why = WHY.get((found.check, found.detail)) or WHY[(found.check, "")]
    line = line_for(found.check, found.subject, found.detail)
    return Finding(found.check, found.subject, found.what, why, found.owner, line)


def _stale(line: Allowance) -> Finding:
    detail = f", {line.detail}" if line.detail else ""
    what = f"the policy allows {line.check} of {line.subject}{detail}, but there is nothing of the kind"
    why = WHY[(Check.STALE, "")]
    return Finding(Check.STALE, line.subject, what, why, where=line.where)
