"""Outputs: whole or not at all, and untouched where nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.build.outputs import deliver, deliver_file
from builder.build.session import mending
from builder.errors import Code, ColvertError
from builder.pipeline.events import Event, Events
from builder.sandbox import home as home_module
from builder.sandbox.doctor import examine, require_namespaces
from builder.sandbox.home import open_home, set_slots


def _source(tmp_path: Path, text: str = "one") -> Path:
    source = tmp_path / f"source-{text}"
    (source / "inner").mkdir(parents=True)
    (source / "inner/file").write_text(text)
    (source / "link").symlink_to("inner/file")
    return source


def test_outputs_appear_and_are_told(tmp_path: Path) -> None:
    seen: list[Event] = []
    deliver(_source(tmp_path), tmp_path / "out/1/qemu", Events(seen.append))
    assert (tmp_path / "out/1/qemu/link").read_text() == "one"
    assert [event.text for event in seen] == [str(tmp_path / "out/1/qemu/inner/file")]


def test_unchanged_outputs_are_left_alone(tmp_path: Path) -> None:
    source, target = _source(tmp_path), tmp_path / "out/qemu"
    deliver(source, target, Events())
    before = target.stat().st_ino
    deliver(source, target, Events())
    assert target.stat().st_ino == before


def test_changed_outputs_replace_the_old_ones_whole(tmp_path: Path) -> None:
    target = tmp_path / "out/qemu"
    deliver(_source(tmp_path), target, Events())
    (target / "stray").write_text("x")
    deliver(_source(tmp_path, "two"), target, Events())
    assert (target / "inner/file").read_text() == "two"
    assert not (target / "stray").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["qemu"]


@pytest.mark.parametrize("links", [True, False])
def test_outputs_go_back_with_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """The same size, and newer than what the store has of the old: still the wrong one."""
    if not links:
        monkeypatch.setattr("builder.build.outputs.os.link", _refuse)
    target, first = tmp_path / "out/qemu", _source(tmp_path)
    deliver(first, target, Events())
    deliver(_source(tmp_path, "two"), target, Events())
    assert (target / "inner/file").read_text() == "two"
    deliver(first, target, Events())
    assert (target / "inner/file").read_text() == "one"
    before = target.stat().st_ino
    deliver(first, target, Events())
    assert target.stat().st_ino == before


def _refuse(source: Path, target: Path) -> None:
    raise OSError(18, "Invalid cross-device link")


def test_a_link_to_something_else_is_no_output(tmp_path: Path) -> None:
    source, target = _source(tmp_path), tmp_path / "out/qemu"
    deliver(source, target, Events())
    (target / "link").unlink()
    (target / "link").symlink_to("inner")
    deliver(source, target, Events())
    assert (target / "link").readlink() == Path("inner/file")


def test_a_failing_delivery_leaves_the_old_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out/qemu"
    deliver(_source(tmp_path), target, Events())

    def full(source: Path, there: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builder.build.outputs._give", full)
    with pytest.raises(OSError, match="No space"):
        deliver(_source(tmp_path, "two"), target, Events())
    assert (target / "inner/file").read_text() == "one"


def test_damage_is_mended_and_other_errors_are_not() -> None:
    errors = [ColvertError(Code.STORE_CORRUPT, "a"), ColvertError(Code.STORE_CORRUPT, "b")]
    seen: list[Event] = []

    def work() -> None:
        if errors:
            raise errors.pop()

    mending(Events(seen.append), work)
    assert len(seen) == 2
    with pytest.raises(ColvertError):
        mending(Events(), lambda: (_ for _ in ()).throw(ColvertError(Code.TOO_LARGE, "x")).__next__())


def test_a_home_out_of_reach_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "sandbox_id", lambda: 12345)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ColvertError) as caught:
        open_home(closed / "home")
    assert "chmod o+x" in caught.value.hint


def test_slots_follow_the_number_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "sandbox_id", lambda: None)
    home = open_home(tmp_path / "home")
    for count in (5, 2):
        set_slots(home, count)
        assert len(list(home.slots.iterdir())) == count


def test_without_user_namespaces_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a real program in the place of bwrap that fails as bwrap does where namespaces are forbidden
    (tmp_path / "bwrap").write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    (tmp_path / "bwrap").chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("builder.sandbox.doctor.sandbox_id", lambda: None)
    with pytest.raises(ColvertError) as caught:
        require_namespaces()
    assert caught.value.code is Code.NO_USERNS
    assert "namespace" in caught.value.what
    assert caught.value.hint


def test_the_doctor_names_the_package_of_a_missing_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding.subject: finding for finding in examine(tmp_path / "home")}
    assert not findings["bwrap"].ok
    assert findings["bwrap"].remedy == "apt-get install bubblewrap"
    assert findings["mmdebstrap"].remedy == "apt-get install mmdebstrap"


def test_a_file_replaces_the_old_one_and_is_told(tmp_path: Path) -> None:
    seen: list[Event] = []
    target = tmp_path / "out/1/list"
    for text in ("one", "two"):
        deliver_file((_source(tmp_path, text) / "inner/file").read_bytes(), target, Events(seen.append))
        assert target.read_text() == text
    assert [event.text for event in seen] == [str(target)] * 2
    assert [path.name for path in target.parent.iterdir()] == ["list"]
