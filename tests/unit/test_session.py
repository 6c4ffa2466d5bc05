"""What a session takes in anew after damage; nothing is resolved or built."""

from __future__ import annotations

from pathlib import Path, PurePath
from types import SimpleNamespace

import pytest

from builder.build.session import Session, fragment_name, mending
from builder.errors import Code, ColvertError
from builder.manifest.load import load
from builder.packages.overlay import Overlay, Settings
from builder.packages.plan import Plan
from builder.pipeline.artifact import Artifact
from builder.pipeline.events import Event, Events
from builder.pipeline.store import Store
from builder.sandbox.home import Home
from tests.unit.test_plan import node

EBUILD = "a/x/x-1.ebuild"
NODE = node("a/x-1").model_copy(update={"ebuild": EBUILD, "repository": "first"})
FILES = {"profiles/repo_name": "first\n", EBUILD: "EAPI=8\n", "a/x/Manifest": "", "licenses/MIT": "text\n"}


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Overlay:
    for name, text in FILES.items():
        path = tmp_path / "overlay" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    plan = Plan(packages=(NODE,), roots=(NODE.cpv,), profiles=())
    # the SDK's Portage would say so
    monkeypatch.setattr(Session, "_resolve", lambda self: (plan, self.settings.ingest(self.store)))
    return Overlay("first", tmp_path / "overlay")


def opened(tmp_path: Path, overlay: Overlay, seen: list[Event]) -> Session:
    """A session, as a process that starts now opens it."""
    path = tmp_path / "os.yaml"
    path.write_text("id: a\nname: A\nversion: 1\nepoch: 1\n")
    home = Home(tmp_path / "home")
    made = Session(
        load(path), home, Events(seen.append), Store(home.store), Settings((overlay,), "p", {}), (), 1
    )
    made.__dict__["sdk"] = SimpleNamespace(mirror="http://mirror.invalid")
    return made


def damage(store: Store, artifact: Artifact, name: str) -> None:
    path = store.place(artifact) / name
    path.chmod(0o644)
    path.write_text("damage")


@pytest.mark.parametrize("what", ["content", "index"])
def test_a_damaged_copy_of_an_overlay_is_taken_in_again(tmp_path: Path, overlay: Overlay, what: str) -> None:
    """Once a build asked for the artifact that was set aside, for ever."""
    first = opened(tmp_path, overlay, [])
    copy = first.overlays["first"]
    name = EBUILD if what == "content" else "../index"
    damage(first.store, copy, name)
    seen: list[Event] = []
    session, recipes = opened(tmp_path, overlay, seen), list[Artifact]()
    mending(session.events, lambda: recipes.append(session.builder.recipes.recipe(NODE)), session.forget)
    assert (session.store.path(recipes[0]) / "first" / EBUILD).read_text() == "EAPI=8\n"
    assert len(seen) == 1
    session.store.check(copy)


def test_without_anything_to_take_in_again_damage_is_an_error(tmp_path: Path, overlay: Overlay) -> None:
    first = opened(tmp_path, overlay, [])
    damage(first.store, first.overlays["first"], EBUILD)
    seen: list[Event] = []
    session = opened(tmp_path, overlay, seen)
    with pytest.raises(ColvertError) as caught:
        mending(session.events, lambda: session.builder.recipes.recipe(NODE))
    assert caught.value.code is Code.STORE_CORRUPT
    assert len(seen) < 5


def test_a_session_forgets_no_more_than_it_knows(tmp_path: Path, overlay: Overlay) -> None:
    session = opened(tmp_path, overlay, [])
    session.forget()
    assert session.licence_texts["MIT"] == (session.overlays["first"], "licenses/MIT")
    (overlay.path / "licenses/MIT").write_text("other\n")
    before = session.overlays
    session.forget()
    assert session.overlays != before


@pytest.mark.parametrize("name", ["net.config", "net.cfg", "net"])
def test_fragments_are_merged_whatever_they_are_called(name: str) -> None:
    made = fragment_name(3, name)
    assert made.startswith("03-net")
    assert PurePath(made).match("*.config")
