"""Findings of an audit, and the exceptions of the policy that cover them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from builder.audit.policy import Allowance, Check, LoadedPolicy, line_for
from builder.errors import Code, ColvertError, Location

# Why each matters: printed with every finding.
WHY: Mapping[tuple[Check, str], str] = {
    (Check.HARDENING, "pie"): "its code is loaded at an address that an attacker can predict",
    (Check.HARDENING, "relro"): "its table of library calls (GOT) stays writable at run time",
    (Check.HARDENING, "now"): "its table of library calls (GOT) stays writable at run time",
    (Check.HARDENING, "noexecstack"): "injected data on its stack can be executed",
    (Check.HARDENING, "no-text-relocations"): "its code must be writable while it is loaded",
    (Check.HARDENING, "cet"): "the processor cannot block jumps into the middle of a function",
    (Check.HARDENING, "fortify"): "glibc does not check the length of formatted output",
    (Check.HARDENING, "no-run-path"): "an attacker may be able to place a library there",
    (Check.HARDENING, "readable"): "its hardening cannot be checked",
    (Check.SYMBOLS, ""): "its compiler options cannot be checked, and its crashes have no backtrace",
    (Check.COMPILED, "-fstack-protector-strong"): "a buffer overflow can overwrite the return address",
    (Check.COMPILED, "-fstack-clash-protection"): "a large stack frame can skip the guard page",
    (
        Check.COMPILED,
        "-fcf-protection=full",
    ): "the processor cannot block jumps into the middle of a function",
    (Check.SETUID, ""): "it runs with the rights of its owner, for any user",
    (Check.WRITABLE, ""): "every user and every service can change it",
    (Check.LIBRARIES, ""): "it fails at startup, or when it needs the library",
    (Check.LINKS, ""): "programs that follow it fail",
    (Check.OWNERS, ""): "its origin is unknown, so no update replaces it",
    (Check.SOCKETS, ""): "it is reachable over the network",
    (Check.STALE, ""): "an unused line may allow a later, unrelated finding",
}


@dataclass(frozen=True)
class Found:
    """Result of one check: a subject (path, package or process) and a description of the problem."""

    check: Check
    subject: str
    detail: str
    what: str
    owner: str = ""


@dataclass(frozen=True)
class Finding:
    """A result that the policy does not allow."""

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
    """The findings, and the allowed results with the reason of the policy."""

    findings: tuple[Finding, ...]
    allowed: tuple[tuple[Found, Allowance], ...]

    def refuse(self) -> None:
        """Raise the findings as one error, if there are any."""
        if self.findings:
            number = len(self.findings)
            raise ColvertError(
                Code.AUDIT_FAILED,
                f"{number} finding{'s' * (number != 1)} that the policy does not allow",
                hint="fix the cause, or add the printed line and a reason to the policy",
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
    what = f"the policy allows {line.check} of {line.subject}{detail}, but there is no such finding"
    why = WHY[(Check.STALE, "")]
    return Finding(Check.STALE, line.subject, what, why, where=line.where)
