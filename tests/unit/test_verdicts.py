"""Verdicts of tests: what moves their key, which run leaves one, and how tests are taken by one.

No verdict is ever asked for about these.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from builder.pipeline.code import CodeDigests
from builder.pipeline.events import Events
from builder.pipeline.executor import Executor
from builder.pipeline.store import Store
from builder.sandbox.home import Home
from builder.sandbox.sdk import Sdk
from tests.conftest import ROOT
from tests.verdicts import Fixture, Ledger, Verdicts

pytest_plugins = ["pytester"]

MODULE = "tests.boot.test_x"
PROJECT = {
    "builder/__init__.py": "",
    "builder/errors.py": "TEXT = 'no'\n",
    "builder/machine.py": "from builder.errors import TEXT\nLIMIT = 1\n",
    "builder/unrelated.py": "X = 1\n",
    "builder/build/__init__.py": "",
    "builder/build/session.py": "",
    "tests/__init__.py": "",
    "tests/conftest.py": "",
    "tests/helper.py": "from builder.machine import LIMIT\nDATA = ('recipe',)\n",
    "tests/recipe/list.txt": "one\n",
    "tests/boot/__init__.py": "",
    "tests/boot/conftest.py": "import pytest\n",
    "tests/boot/test_x.py": "from tests.helper import LIMIT\n\n\ndef test_one():\n    assert LIMIT\n",
    "tests/boot/test_y.py": "",
}
GIVEN: Mapping[str, Callable[[], str]] = {"image": lambda: "a", "packages": lambda: "b", "slot": lambda: "c"}
IMAGE = Fixture("image", "tests.fixtures")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


def ledger(
    project: Path,
    given: Mapping[str, Callable[[], str]] = GIVEN,
    sdk: str = "sdk",
    accelerator: str = "tcg",
) -> Ledger:
    """As a new process has it."""
    home = Home(project / ".home")

    def open_store(code: CodeDigests) -> tuple[Executor, Mapping[str, str]]:
        executor = Executor(Store(home.store), Events(), Sdk(home.sdk, sdk), home.local(), code)
        return executor, {"accelerator": accelerator}

    code = CodeDigests(project=project, leaves=frozenset(), loaded=time.time())
    return Ledger(code, given, open_store)


def key(one: Ledger, tests: Iterable[str] = ("test_one",), fixtures: Iterable[Fixture] = (IMAGE,)) -> str:
    return one.executor.key(one.verdict(MODULE, tests, fixtures))


# --- the key --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tests/boot/test_x.py", PROJECT["tests/boot/test_x.py"].replace("assert LIMIT", "assert LIMIT > 1")),
        ("tests/helper.py", PROJECT["tests/helper.py"] + "WAIT = 2\n"),
        ("tests/recipe/list.txt", "two\n"),
        ("tests/recipe/more.txt", "more\n"),
        ("builder/machine.py", "from builder.errors import TEXT\nLIMIT = 2\n"),
        # tests assert on what is reported
        ("builder/errors.py", "TEXT = 'yes'\n"),
        ("tests/conftest.py", "WAIT = 2\n"),
        ("tests/boot/conftest.py", "import pytest\nWAIT = 2\n"),
        ("tests/boot/__init__.py", "WAIT = 2\n"),
    ],
)
def test_code_that_the_tests_reach_moves_the_key(project: Path, name: str, text: str) -> None:
    before = key(ledger(project))
    (project / name).write_text(text)
    assert key(ledger(project)) != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("builder/unrelated.py", "X = 2\n"),
        ("tests/boot/test_y.py", "def test_two():\n    assert False\n"),
        ("tests/helper.py", "# a remark\n" + PROJECT["tests/helper.py"]),
    ],
)
def test_other_code_does_not(project: Path, name: str, text: str) -> None:
    before = key(ledger(project))
    (project / name).write_text(text)
    assert key(ledger(project)) == before


def test_what_is_given_moves_the_key(project: Path) -> None:
    before = key(ledger(project))
    assert key(ledger(project, {**GIVEN, "image": lambda: "another"})) != before
    # but nothing that the tests do not use
    assert key(ledger(project, {**GIVEN, "slot": lambda: "another"})) == before


def test_what_a_module_builds_itself_counts_by_the_packages(project: Path) -> None:
    packages = {**GIVEN, "packages": lambda: "another"}
    assert key(ledger(project)) == key(ledger(project, packages))
    (project / "tests/helper.py").write_text("def f():\n    from builder.build.session import Session\n")
    assert key(ledger(project)) != key(ledger(project, packages))


def test_the_sdk_the_tests_and_the_machine_move_the_key(project: Path) -> None:
    one = ledger(project)
    others = [
        key(ledger(project, sdk="another")),
        key(one, ["test_one[a]"]),
        key(one, ["test_one", "test_two"]),
        key(ledger(project, accelerator="kvm")),
    ]
    assert len({key(one), *others}) == 5


def test_a_fixture_has_its_code_or_a_digest(project: Path) -> None:
    one = ledger(project)
    own = [Fixture("own", module) for module in (MODULE, "tests.helper", "tests.conftest")]
    assert one.unspoken(MODULE, [IMAGE, *own]) == []
    assert one.unspoken(MODULE, [IMAGE, Fixture("session", "tests.fixtures")]) == ["session"]


def test_no_module_asks_for_a_fixture_that_its_signature_does_not_name() -> None:
    """It would be in no key."""
    for folder in ("boot", "clients"):
        for path in (ROOT / "tests" / folder).glob("*.py"):
            names = {
                node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
            }
            assert "getfixturevalue" not in names, path


# --- runs -----------------------------------------------------------------------------

STORY = """
import pytest
from pathlib import Path
RAN = Path("ran")
@pytest.fixture(scope="module")
def machine():
    yield 1
    {end}
@pytest.mark.parametrize("number", [1, 2])
def test_each(machine, number):
    RAN.open("a").write(f"{{number}}")
def test_last(machine):
    RAN.open("a").write("l")
    {last}
"""


class Runner:
    """A project of one story, run again and again by new processes' plugins."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.write()

    def write(self, last: str = "pass", end: str = "pass") -> None:
        self.pytester.makepyfile(test_story=STORY.format(last=last, end=end))

    def run(self, *words: str, fresh: bool = False) -> tuple[dict[str, int], str]:
        """Outcomes, and which tests really ran."""
        ran = self.pytester.path / "ran"
        ran.unlink(missing_ok=True)
        plugin = Verdicts(ledger(self.pytester.path), fresh=fresh, folders=("test_story",))
        result = self.pytester.runpytest_inprocess("-p", "no:cacheprovider", *words, plugins=[plugin])
        self.said = result.stdout.str()
        return result.parseoutcomes(), ran.read_text() if ran.exists() else ""


@pytest.fixture
def runner(pytester: pytest.Pytester) -> Runner:
    return Runner(pytester)


def test_what_passed_is_taken_and_counts_as_passed(runner: Runner) -> None:
    assert runner.run() == ({"passed": 3}, "12l")
    assert "not run" not in runner.said
    assert runner.run() == ({"passed": 3}, "")
    assert "3 tests of 1 files were not run" in runner.said
    runner.run("-v")
    assert "PASSED (verdict)" in runner.said


def test_fresh_runs_it_all_the_same(runner: Runner) -> None:
    runner.run()
    assert runner.run(fresh=True) == ({"passed": 3}, "12l")
    assert runner.run() == ({"passed": 3}, "")


def test_changed_tests_run(runner: Runner) -> None:
    runner.run()
    runner.write(last="assert True")
    assert runner.run() == ({"passed": 3}, "12l")


@pytest.mark.parametrize(
    ("last", "end", "outcomes"),
    [
        ("assert False", "pass", {"passed": 2, "failed": 1}),
        ("pytest.skip('no')", "pass", {"passed": 2, "skipped": 1}),
        ("pytest.xfail('known')", "pass", {"passed": 2, "xfailed": 1}),
        # after the last test has passed
        ("pass", "assert False", {"passed": 3, "errors": 1}),
    ],
)
def test_nothing_is_kept_of_a_run_that_is_not_all_green(
    runner: Runner, last: str, end: str, outcomes: dict[str, int]
) -> None:
    runner.write(last, end)
    assert runner.run() == (outcomes, "12l")
    assert runner.run() == (outcomes, "12l")


def test_code_that_is_edited_while_it_runs_leaves_nothing(runner: Runner) -> None:
    """The key would be of the edited text, and the verdict on the one that ran."""
    edit = "time.sleep(0.05); Path('test_story.py').open('a').write('# edited')"
    runner.write(last=f"import time; {edit}")
    assert runner.run()[0] == {"passed": 3, "warnings": 1}
    assert runner.run() == ({"passed": 3, "warnings": 1}, "12l")


def test_some_of_the_tests_are_no_verdict_on_all(runner: Runner) -> None:
    assert runner.run("-k", "each") == ({"passed": 2, "deselected": 1}, "12")
    assert runner.run("-k", "each") == ({"passed": 2, "deselected": 1}, "")
    assert runner.run() == ({"passed": 3}, "12l")


def test_a_fixture_that_does_not_count_is_an_error_at_once(pytester: pytest.Pytester) -> None:
    text = "import pytest\n@pytest.fixture(scope='session')\ndef disk():\n    return 1\n"
    pytester.syspathinsert()
    pytester.makepyfile(other=text, test_story="def test_one(disk):\n    pass\n")
    plugin = Verdicts(ledger(pytester.path), folders=("test_story",))
    result = pytester.runpytest_inprocess("-p", "other", plugins=[plugin])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "no verdict could count: disk" in result.stderr.str()


def test_a_file_that_cannot_be_imported_is_reported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_story="import nothing_of_that_name\n")
    plugin = Verdicts(ledger(pytester.path), folders=("test_story",))
    result = pytester.runpytest_inprocess(plugins=[plugin])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "No module named 'nothing_of_that_name'" in result.stdout.str()


def test_a_run_that_was_broken_off_leaves_nothing(runner: Runner) -> None:
    runner.write(last="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    runner.write()
    assert runner.run() == ({"passed": 3}, "12l")


def test_workers_keep_and_take_verdicts_too(runner: Runner) -> None:
    runner.pytester.makepyfile(
        plug="""
        from pathlib import Path
        from tests.unit.test_verdicts import ledger
        from tests.verdicts import Verdicts
        def pytest_configure(config):
            plugin = Verdicts(ledger(Path.cwd()), folders=("test_story",))
            config.pluginmanager.register(plugin, "verdicts of the test")
        """
    )
    words = ("-p", "plug", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile")
    ran = runner.pytester.path / "ran"
    for expected, said in (("12l", ""), ("", "3 tests of 1 files were not run")):
        ran.write_text("")
        result = runner.pytester.runpytest_subprocess(*words)
        assert result.parseoutcomes() == {"passed": 3}
        assert ran.read_text() == expected
        assert said in result.stdout.str()
