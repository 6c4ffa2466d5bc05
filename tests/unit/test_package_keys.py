"""Keys of packages: what of an overlay reaches a package's build moves its key, and nothing else does."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.packages.builder import Builder
from builder.packages.fetch import Fetcher
from builder.packages.overlay import Overlay, Settings
from builder.packages.plan import Node, Plan, Resolve
from builder.pipeline.entry import Entry, Record
from builder.pipeline.events import Events
from builder.pipeline.ingest import ingest_files
from builder.pipeline.stage import key
from builder.pipeline.store import Store

EBUILD = "app-misc/one/one-1.ebuild"
FILES = {
    "profiles/repo_name": "first\n",
    "profiles/categories": "app-misc\n",
    "profiles/os/amd64/make.defaults": 'CFLAGS="-O2"\n',
    "profiles/os/amd64/parent": "..\n",
    "profiles/os/make.defaults": 'ARCH="amd64"\n',
    "profiles/other/make.defaults": 'CFLAGS="-O0"\n',
    "metadata/layout.conf": "masters =\n",
    "eclass/used.eclass": "# used\n",
    "eclass/unused.eclass": "# unused\n",
    "licenses/MIT": "text\n",
    EBUILD: "EAPI=8\n",
    "app-misc/one/Manifest": "",
    "app-misc/one/files/a.patch": "patch\n",
    "app-misc/one/files/deep/b.patch": "patch\n",
    "app-misc/one/metadata.xml": "<x/>\n",
    "app-misc/two/two-1.ebuild": "EAPI=8\n",
    "app-misc/two/Manifest": "",
}
REACH = {
    "app-misc/one/files/a.patch",
    "app-misc/one/files/deep/b.patch",
    EBUILD,
    "eclass/used.eclass",
    "metadata/layout.conf",
    "profiles/os/amd64/make.defaults",
    "profiles/os/amd64/parent",
    "profiles/os/make.defaults",
    "profiles/repo_name",
}


class Workshop:
    """An overlay, a store, and a plan of one package that was never resolved."""

    def __init__(self, place: Path) -> None:
        self.overlay = place / "overlay"
        for name, text in FILES.items():
            self.write(name, text)
        self.store = Store(place / "store")
        self.place = place
        self.settings = Settings((Overlay("first", self.overlay),), "os/amd64", {})

    def write(self, name: str, text: str) -> None:
        path = self.overlay / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def plan(self) -> Plan:
        node = Node(
            cpv="app-misc/one-1",
            category="app-misc",
            name="one",
            pf="one-1",
            version="1",
            slot="0",
            repository="first",
            use=(),
            iuse=("flag",),
            ebuild=EBUILD,
            eclasses=("used",),
            distfiles={},
            licence="MIT",
            licences=("MIT",),
            description="d",
            homepage="h",
            dependencies={},
        )
        profiles = ("first/profiles/os/amd64", "first/profiles/os")
        return Plan(packages=(node,), roots=(node.cpv,), profiles=profiles)

    def builder(self, settings: Settings | None = None) -> Builder:
        chosen, plan = settings or self.settings, self.plan()
        fetcher = Fetcher(self.place / "distfiles", "http://mirror.invalid", Events())
        return Builder(self.store, plan, chosen, chosen.ingest(self.store), fetcher)

    def key(self, builder: Builder | None = None) -> str:
        """The package's key as a build that begins now finds it."""
        made = builder or self.builder()
        [node] = made.plan.packages
        return key(made.stage(node, made.sources(node), {}), code="c", sdk="s")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_reaches_a_build_moves_its_key_and_nothing_else_does(workshop: Workshop, name: str) -> None:
    before = workshop.key()
    workshop.write(name, FILES[name] + "# changed\n")
    assert (workshop.key() != before) == (name in REACH)


@pytest.mark.parametrize(
    "name",
    [
        "profiles/os/profile.bashrc",
        "profiles/os/amd64/package.env",
        "profiles/os/amd64/package.bashrc",
        "profiles/os/env/special.conf",
        "profiles/os/amd64/use.force",
        "profiles/os/amd64/use.mask",
        "profiles/eapi",
        "app-misc/one/files/c.patch",
    ],
)
def test_new_files_that_reach_a_build_move_its_key(workshop: Workshop, name: str) -> None:
    before = workshop.key()
    workshop.write(name, "CFLAGS+=-O0\n")
    assert workshop.key() != before


@pytest.mark.parametrize(
    "name",
    [
        "profiles/os/amd64/package.use",
        "profiles/os/amd64/package.use/all",
        "profiles/os/amd64/package.mask",
        "profiles/license_groups",
        "app-misc/one/one-2.ebuild",
        "app-misc/three/three-1.ebuild",
        "README",
        ".git/index",
    ],
)
def test_what_only_the_resolver_reads_leaves_it(workshop: Workshop, name: str) -> None:
    before = workshop.key()
    workshop.write(name, "x\n")
    assert workshop.key() == before


def test_the_build_sees_just_what_its_key_says(workshop: Workshop) -> None:
    [node] = workshop.plan().packages
    recipe = workshop.builder().recipes.recipe(node)
    found = {item.name for item in workshop.store.index(recipe) if item.type == "file"}
    assert found == {f"first/{name}" for name in REACH}


def test_an_edit_while_a_build_runs_belongs_to_the_next_one(workshop: Workshop) -> None:
    builder = workshop.builder()
    before = workshop.key(builder)
    workshop.write(EBUILD, "EAPI=8\nedited=1\n")
    assert workshop.key(builder) == before
    [node] = builder.plan.packages
    recipe = workshop.store.path(builder.recipes.recipe(node))
    assert (recipe / "first" / EBUILD).read_text() == FILES[EBUILD]
    assert workshop.key() != before


def test_the_umask_of_the_checkout_is_in_no_key(workshop: Workshop) -> None:
    before = workshop.key()
    for directory, _, names in os.walk(workshop.overlay):
        os.chmod(directory, 0o775)
        for name in names:
            os.chmod(Path(directory, name), 0o664)
    assert workshop.key() == before
    (workshop.overlay / "app-misc/one/files/a.patch").chmod(0o775)
    assert workshop.key() != before


def test_what_dependencies_give_moves_the_key(workshop: Workshop) -> None:
    builder = workshop.builder()
    [node] = builder.plan.packages
    needy = node.model_copy(update={"dependencies": {"a/lib-1": ("build",)}})
    library = node.model_copy(update={"cpv": "a/lib-1", "category": "a", "name": "lib"})
    plan = Plan(packages=(needy, library), roots=(), profiles=builder.plan.profiles)
    builder = replace(builder, plan=plan)

    def entry(image: str, vdb: str, gpkg: str) -> Entry:
        record = Record(
            key="k",
            stage="package",
            label="a/lib-1",
            inputs={},
            digest=image + vdb + gpkg,
            parts={"image": image, "vdb": vdb, "package.gpkg.tar": gpkg},
            size=1,
            seconds=1,
            created=1,
        )
        return Entry(workshop.place, record)

    def found(*parts: str) -> str:
        return key(builder.stage(needy, [], {"a/lib-1": entry(*parts)}), code="c", sdk="s")

    assert len({found("i", "v", "g"), found("j", "v", "g"), found("i", "w", "g")}) == 3
    # the archive holds the same files; what is not laid out cuts the rebuilding off
    assert found("i", "v", "g") == found("i", "v", "h")


# --- the plan -----------------------------------------------------------------------


def plan_key(settings: Settings, store: Store) -> str:
    return key(Resolve(("a",), settings.configuration, settings.ingest(store)), code="c", sdk="s")


@pytest.mark.parametrize("name", sorted({*FILES, "profiles/os/amd64/package.use"} - {".git/x"}))
def test_every_file_of_an_overlay_moves_the_plan(workshop: Workshop, name: str) -> None:
    before = plan_key(workshop.settings, workshop.store)
    workshop.write(name, FILES.get(name, "") + "# changed\n")
    assert plan_key(workshop.settings, workshop.store) != before


def test_what_git_keeps_beside_an_overlay_does_not(workshop: Workshop) -> None:
    before = plan_key(workshop.settings, workshop.store)
    workshop.write(".git/refs/heads/main", "123\n")
    assert plan_key(workshop.settings, workshop.store) == before


def test_the_order_of_overlays_moves_the_plan(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "second/profiles").mkdir(parents=True)
    (tmp_path / "second/profiles/repo_name").write_text("second\n")
    one, two = workshop.settings.overlays[0], Overlay("second", tmp_path / "second")
    keys = {
        plan_key(replace(workshop.settings, overlays=order), workshop.store)
        for order in ((one, two), (two, one), (one, replace(two, masters=("first",))))
    }
    assert len(keys) == 3


# --- links and special files ---------------------------------------------------------


def test_an_ebuild_may_be_a_link_inside_its_overlay(workshop: Workshop) -> None:
    workshop.write("shared/one.ebuild", "EAPI=8\nlinked=1\n")
    (workshop.overlay / EBUILD).unlink()
    (workshop.overlay / EBUILD).symlink_to("../../shared/one.ebuild")
    builder = workshop.builder()
    [node] = builder.plan.packages
    recipe = workshop.store.path(builder.recipes.recipe(node))
    assert (recipe / "first" / EBUILD).read_text() == "EAPI=8\nlinked=1\n"
    before = workshop.key()
    workshop.write("shared/one.ebuild", "EAPI=8\nlinked=2\n")
    assert workshop.key() != before


@pytest.mark.parametrize("kind", ["fifo", "outside", "absolute"])
def test_an_overlay_holds_files_and_links_to_them(workshop: Workshop, tmp_path: Path, kind: str) -> None:
    path = workshop.overlay / "app-misc/one/files/special"
    (tmp_path / "secret").write_text("x")
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("../../../../secret" if kind == "outside" else tmp_path / "secret")
    with pytest.raises(ColvertError) as caught:
        workshop.builder()
    assert caught.value.code is Code.OVERLAY_INVALID
    assert caught.value.where is not None
    assert caught.value.where.file == str(path)


def test_a_fragment_that_is_no_file_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.config")
    with pytest.raises(ColvertError):
        ingest_files(workshop.store, "fragments", {"00-x.config": tmp_path / "x.config"})


# --- what an image would lose ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("EAPI=8\nsrc_install() { setcap cap_net_raw+ep x; }\n", 2),
        ("EAPI=8\n\npkg_postinst() { fcaps cap_net_raw bin/ping; }\n", 3),
        ("EAPI=8\nsrc_install() { python -c 'os.setxattr(p, \"security.capability\", b)'; }\n", 2),
    ],
)
def test_a_package_that_sets_capabilities_is_refused(workshop: Workshop, text: str, line: int) -> None:
    workshop.write(EBUILD, text)
    with pytest.raises(ColvertError) as caught:
        workshop.builder().jobs()
    assert caught.value.code is Code.PACKAGE_REFUSED
    assert str(caught.value.where) == f"{workshop.overlay / EBUILD}:{line}"


def test_the_eclass_of_capabilities_is_refused_unless_its_flag_is_off(workshop: Workshop) -> None:
    builder = workshop.builder()
    [node] = builder.plan.packages
    inherits = {"eclasses": ("fcaps",), "iuse": ("filecaps",)}
    for use, refused in ((("filecaps",), True), ((), False)):
        plan = builder.plan.model_copy(
            update={"packages": (node.model_copy(update={**inherits, "use": use}),)}
        )
        if refused:
            with pytest.raises(ColvertError):
                replace(builder, plan=plan).jobs()
        else:
            assert replace(builder, plan=plan).jobs()


def test_a_comment_about_capabilities_is_none(workshop: Workshop) -> None:
    workshop.write(EBUILD, "EAPI=8\n# setcap would be lost\n")
    assert workshop.builder().jobs()
