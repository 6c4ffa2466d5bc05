"""Verdicts: test modules that passed with this code, on these images, in this SDK, are taken as passed.

A boot test is a function of what it is given (the digests of the images that its fixtures give), of the code
that it can reach, and of the SDK. After a run in which every test of a module passed, without a skip or an
expected failure, the store has a verdict under the key of all that, and the next run reports the module's
tests as passed without running them; `--fresh` runs them all the same.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import pytest

from builder.errors import ColvertError
from builder.machine.accel import choose
from builder.pipeline.code import CodeDigests
from builder.pipeline.events import Events
from builder.pipeline.executor import Executor
from builder.pipeline.stage import Stage, Work
from tests import prepare

# the modules whose tests take a machine; what they are called as is their path
FOLDERS = ("tests.boot.", "tests.clients.")
# with another image, SDK or release than the prepared ones there is nothing to remember
NAMED = ("COLVERT_IMAGE", "COLVERT_SDK", "COLVERT_TARGETS")
TAKEN = ("verdict", "taken")
PHASES = ("setup", "call", "teardown")


@dataclass(frozen=True)
class Verdict(Stage):
    """out/tests.json: the tests of one module that passed together."""

    name: ClassVar[str] = "verdict"

    module: str
    # conftests, whose fixtures the module can use without importing them
    beside: tuple[str, ...]
    # as they were selected: with `long` ones, or with -k, it is another verdict
    tests: tuple[str, ...]
    # fixture -> digest of what it gives
    given: Mapping[str, str]
    # what else of this machine decides: the accelerator, whether root runs the tests
    setting: Mapping[str, str]

    @property
    def label(self) -> str:
        return self.module

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, *self.beside)

    def run(self, work: Work) -> None:
        (work.out / "tests.json").write_text(json.dumps(self.tests, indent=1))


@dataclass(frozen=True)
class Fixture:
    """A fixture as far as a verdict is concerned: its name, and the module that its code is in."""

    name: str
    module: str


@dataclass
class Ledger:
    """Makes verdicts, and looks them up in a store, which is opened for the first one."""

    code: CodeDigests
    given: Mapping[str, Callable[[], str]]
    # the store and its SDK, with `code`; and what else of this machine decides
    open: Callable[[CodeDigests], tuple[Executor, Mapping[str, str]]]

    @cached_property
    def _opened(self) -> tuple[Executor, Mapping[str, str]]:
        return self.open(self.code)

    @property
    def executor(self) -> Executor:
        return self._opened[0]

    def unspoken(self, module: str, fixtures: Iterable[Fixture]) -> list[str]:
        """The fixtures of a module for which neither the code that counts nor a digest speaks."""
        reached = self._reached(module)
        return sorted(
            {one.name for one in fixtures if one.name not in self.given and one.module not in reached}
        )

    def verdict(self, module: str, tests: Iterable[str], fixtures: Iterable[Fixture]) -> Verdict:
        """The verdict on some tests of a module."""
        names = {one.name for one in fixtures} & self.given.keys()
        # what a module builds itself is made of the packages
        if "builder.build.session" in self._reached(module):
            names.add("packages")
        digests = {name: self.given[name]() for name in sorted(names)}
        return Verdict(module, self._conftests(module), tuple(tests), digests, self._opened[1])

    def _reached(self, module: str) -> set[str]:
        return {name for one in (module, *self._conftests(module)) for name in self.code.closure(one)}

    def _conftests(self, module: str) -> tuple[str, ...]:
        parts = module.split(".")[:-1]
        folders = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        found = [f"{folder}.conftest" for folder in folders]
        root = self.code.project
        return tuple(name for name in found if root.joinpath(*name.split(".")).with_suffix(".py").is_file())

    def passed(self, verdict: Verdict) -> bool:
        return self.executor.cached(verdict) is not None

    def keep(self, verdict: Verdict) -> None:
        self.executor.obtain(verdict)


@dataclass
class Module:
    """The selected tests of one module while pytest runs them."""

    name: str
    items: list[pytest.Item] = field(default_factory=list)
    # None until it is looked up; a module without a verdict is run and nothing is kept
    verdict: Verdict | None = None
    looked_up: bool = False
    taken: bool = False
    passed: dict[str, set[str]] = field(default_factory=dict)
    spoilt: bool = False

    @property
    def tests(self) -> list[str]:
        return [item.nodeid for item in self.items]

    @property
    def fixtures(self) -> set[Fixture]:
        return {one for item in self.items for one in fixtures_of(item)}

    @property
    def green(self) -> bool:
        """Whether every phase of every test has passed here."""
        return not self.spoilt and all(self.passed.get(name) == set(PHASES) for name in self.tests)


def fixtures_of(item: pytest.Item) -> Iterator[Fixture]:
    """The fixtures of a test, without pytest's own."""
    info = getattr(item, "_fixtureinfo", None)
    for name, found in (info.name2fixturedefs if info else {}).items():
        module = found[-1].func.__module__
        if not module.startswith("_pytest."):
            yield Fixture(name, module)


class Verdicts:
    """The pytest plugin; where `fresh`, what has a verdict runs too."""

    def __init__(self, ledger: Ledger, *, fresh: bool = False, folders: tuple[str, ...] = FOLDERS) -> None:
        self.ledger = ledger
        self.fresh = fresh
        self.folders = folders
        self.modules: dict[str, Module] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            name = getattr(getattr(item, "module", None), "__name__", "")
            if name.startswith(self.folders):
                self.modules.setdefault(name, Module(name)).items.append(item)
        for module in self.modules.values():
            if names := self.ledger.unspoken(module.name, module.fixtures):
                raise pytest.UsageError(
                    f"{module.name} uses fixtures that no verdict could count: {', '.join(names)};"
                    " give them a digest in tests/prepare.py (GIVEN)"
                )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        module = self._module(item)
        if module is None:
            return None
        self._look_up(module)
        if not module.taken:
            return None
        _report_passed(item)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test went, and keep the verdict after the last one's last phase.

        By then the fixtures of the module are torn down.
        """
        module = next((one for one in self.modules.values() if report.nodeid in one.tests), None)
        if module is None or module.taken:
            return
        if report.outcome != "passed" or hasattr(report, "wasxfail"):
            module.spoilt = True
        module.passed.setdefault(report.nodeid, set()).add(report.when)
        if module.verdict is not None and module.green:
            try:
                self.ledger.keep(module.verdict)
            except ColvertError as error:
                # the tests have passed all the same; such as for code that was edited while they ran
                warnings.warn(f"no verdict on {module.name}: {error.what}", stacklevel=2)

    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        if _is_taken(report) and report.when == "call":
            return "passed", "v", "PASSED (verdict)"
        return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        passed = terminalreporter.stats.get("passed", [])
        taken = [report.nodeid for report in passed if _is_taken(report)]
        if taken:
            files = len({name.partition("::")[0] for name in taken})
            terminalreporter.write_line(
                f"{len(taken)} tests of {files} files were not run: they passed before, with this code and"
                " these images (--fresh runs them)"
            )

    def _module(self, item: pytest.Item) -> Module | None:
        return next((one for one in self.modules.values() if item in one.items), None)

    def _look_up(self, module: Module) -> None:
        if module.looked_up:
            return
        module.looked_up = True
        try:
            module.verdict = self.ledger.verdict(module.name, module.tests, module.fixtures)
        except ColvertError as error:
            # the fixtures fail in the same way, and the tests with them
            warnings.warn(f"no verdict on {module.name}: {error.what}", stacklevel=2)
            return
        module.taken = not self.fresh and self.ledger.passed(module.verdict)


def _is_taken(report: pytest.TestReport | pytest.CollectReport) -> bool:
    return isinstance(report, pytest.TestReport) and TAKEN in map(tuple, report.user_properties)


def _report_passed(item: pytest.Item) -> None:
    """Report a test as passed without running it."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for phase in PHASES:
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="passed",
            longrepr=None,
            when=phase,  # type: ignore[arg-type]
            user_properties=[TAKEN],
        )
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _own_store(code: CodeDigests) -> tuple[Executor, Mapping[str, str]]:
    """The store and the SDK of the tests."""
    session = prepare.session()
    accel = choose(session.sdk.root, session.home.root / "machines").accel
    setting = {"accelerator": accel.value, "root": str(os.geteuid() == 0)}
    return Executor(session.store, Events(), session.sdk, session.home.local(), code), setting


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fresh", action="store_true", help="run tests also where the store has a verdict")


def pytest_configure(config: pytest.Config) -> None:
    if not any(os.environ.get(name) for name in NAMED):
        # what reports counts too: tests assert on it
        ledger = Ledger(CodeDigests(leaves=frozenset()), prepare.GIVEN, _own_store)
        config.pluginmanager.register(Verdicts(ledger, fresh=bool(config.getoption("--fresh"))), "verdicts")
