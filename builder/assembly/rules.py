"""Formats: the named rules that finish a tree; each file they make is theirs (`rule:NAME`)."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.assembly.presets import MANIFEST_PRESET, PRESETS, UnitRules, apply_presets
from builder.assembly.root import COMPAT, INNER
from builder.assembly.tree import ETC, PackageImage, Tree, check_owned, merge, totals
from builder.errors import Code, ColvertError, raise_all
from builder.manifest.places import place_problem
from builder.pipeline.key import walk
from builder.sandbox.run import Bind, sandbox_id
from builder.tools.workspace import Bench, bench

ACCOUNTS = {"passwd": 0o644, "group": 0o644, "shadow": 0o600, "gshadow": 0o600}
PACKAGES = "usr/share/colvert/packages.json"
LICENCES = "usr/share/colvert/licences"
UPDATE = "usr/lib/colvert/update.conf"
RING = "usr/lib/colvert/keys/update"
# files that rules write over anything else, and below what
WRITTEN: Mapping[str, str] = {
    "usr/lib/os-release": "`id`, `name` and `version` say what it holds",
    PACKAGES: "it lists what the image has",
    UPDATE: "`update` says what it holds",
    f"{PRESETS}/{MANIFEST_PRESET}": "`units` says what it holds",
    "usr/lib/sysusers.d/90-manifest.conf": "`users` and `groups` say what it holds",
    "usr/lib/tmpfiles.d/zz-colvert-packages.conf": "give yours another name",
    f"{ETC}/ld.so.cache": "it is made of what the image has",
}
WRITTEN_BELOW: Mapping[str, str] = {
    LICENCES: "it has the texts of the overlays' `licenses`",
    RING: "`update.keys` says what it holds",
}
# an id written by us, not one that sysusers took because it was free
DYNAMIC = re.compile(r"^[ug]!?\s+(\S+)\s+-(?:\s|$)")


@dataclass(frozen=True)
class ExtraFile:
    """A file that the manifest adds: from a file, a text, or as a link."""

    path: str
    source: Path | None = None
    text: str | None = None
    link: str | None = None
    mode: int = 0o644


@dataclass(frozen=True)
class TreeRules:
    """What makes a tree of packages an image."""

    os_release: Mapping[str, str]
    epoch: int
    exclude: tuple[str, ...] = ()
    files: tuple[ExtraFile, ...] = ()
    units: UnitRules = field(default_factory=UnitRules)
    # licence name -> its text, for those that packages name
    licence_texts: Mapping[str, Path] = field(default_factory=dict)
    # settings of colvert-update, and the public keys (name -> PEM) whose updates the image takes
    update: Mapping[str, str] = field(default_factory=dict)
    ring: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class TreeReport:
    """What a tree holds: the owner of every path, bytes per owner, units that are on, the kernel."""

    owners: Mapping[str, str]
    sizes: Mapping[str, int]
    units: tuple[str, ...]
    kernel: str | None


def assemble(
    packages: Sequence[PackageImage], out: Path, rules: TreeRules, *, side: Path, sdk_root: Path
) -> TreeReport:
    """Lay packages together in `out` and finish the tree; what does not ship goes to `side`."""
    tree = merge(packages, out, side=side, exclude=rules.exclude)
    _files(tree, rules.files)
    _os_release(tree, rules.os_release)
    _update(tree, rules.update, rules.ring)
    _tmpfiles(tree)
    _accounts(tree, sdk_root, rules.epoch)
    units = apply_presets(tree, rules.units)
    _package_list(tree, packages, rules.licence_texts)
    kernel = _modules(tree, side, sdk_root)
    _library_cache(tree, sdk_root)
    check_owned(tree)
    return TreeReport(dict(sorted(tree.owners.items())), totals(tree.owners, out), tuple(units), kernel)


def tree_path(path: str) -> str:
    """Where in a tree a file of the running system lies; an error where an image carries none."""
    name = path.lstrip("/")
    if problem := place_problem(f"/{name}"):
        raise ColvertError(
            Code.MANIFEST_INVALID, f"cannot add {path}: {problem}", hint="name a path below /usr or /etc"
        )
    first, _, rest = name.partition("/")
    if first == "etc":
        return f"{ETC}/{rest}"
    old = next((old for old in INNER if name.startswith(f"{old}/")), None)
    return f"{INNER[old]}/{name[len(old) + 1 :]}" if old else name


def _files(tree: Tree, files: Sequence[ExtraFile]) -> None:
    """rule:files, what the manifest adds."""
    for file in files:
        name = tree_path(file.path)
        if file.link is not None:
            tree.link(name, file.link, "rule:files")
        else:
            content = file.source.read_bytes() if file.source is not None else (file.text or "").encode()
            tree.write(name, content, "rule:files", file.mode)


def _os_release(tree: Tree, fields: Mapping[str, str]) -> None:
    """rule:os-release"""
    tree.write("usr/lib/os-release", _assignments(fields), "rule:os-release")


def _update(tree: Tree, settings: Mapping[str, str], ring: Mapping[str, bytes]) -> None:
    """rule:update, where updates come from and whose they have to be."""
    if settings:
        tree.write(UPDATE, _assignments(settings), "rule:update")
    for name, pem in sorted(ring.items()):
        tree.write(f"{RING}/{name}.pem", pem, "rule:update")


def _assignments(fields: Mapping[str, str]) -> str:
    """Shell assignments, as os-release(5) says."""
    lines = []
    for name, value in fields.items():
        plain = re.fullmatch(r"[A-Za-z0-9._:/+-]*", value)
        escaped = re.sub(r'([\\"$`])', r"\\\1", value)
        lines.append(f"{name}={value}" if plain else f'{name}="{escaped}"')
    return "\n".join(lines) + "\n"


def _tmpfiles(tree: Tree) -> None:
    """rule:tmpfiles, the empty directories outside /usr and /etc that packages want.

    Only the innermost ones, and only where no tmpfiles.d of a package speaks of them.
    """
    known = _named_in_tmpfiles(tree)
    inner = [name for name in sorted(tree.var) if not any(other.startswith(f"{name}/") for other in tree.var)]
    lines = [f"d /{name} {tree.var[name][0]:04o} root root -" for name in inner if f"/{name}" not in known]
    if lines:
        head = "# Empty directories that packages brought.\n"
        tree.write(
            "usr/lib/tmpfiles.d/zz-colvert-packages.conf", head + "\n".join(lines) + "\n", "rule:tmpfiles"
        )


def _named_in_tmpfiles(tree: Tree) -> set[str]:
    folder = tree.out / "usr/lib/tmpfiles.d"
    files = sorted(folder.glob("*.conf")) if folder.is_dir() else []
    lines = [line.split() for path in files for line in path.read_text().splitlines()]
    return {words[1].rstrip("/") for words in lines if len(words) > 1 and not words[0].startswith("#")}


def _view(table: Bench, tree: Tree) -> Path:
    """A root to run tools on: `etc` writable (a copy of the tree's), `usr` the tree's, the usual links."""
    root = table.work / "root"
    for folder in (root, root / "etc", root / "usr"):
        folder.mkdir()
    for name, target in COMPAT.items():
        (root / name).symlink_to(target)
    for entry in (tree.out / ETC).iterdir() if (tree.out / ETC).is_dir() else ():
        if entry.is_file() and not entry.is_symlink():
            shutil.copyfile(entry, root / "etc" / entry.name)
    owner = sandbox_id()
    for name, _entry in [("", None), *walk(root)]:
        path = root / name
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.chown(path, owner, owner) if owner is not None else None
    return root


def _accounts(tree: Tree, sdk_root: Path, epoch: int) -> None:
    """rule:accounts, users and groups of the packages' sysusers.d, with numbers that never change."""
    _no_dynamic_ids(tree)
    with bench(tree.out.parent / "accounts", sdk_root, {}) as table:
        root = _view(table, tree)
        for name, mode in ACCOUNTS.items():
            if (root / "etc" / name).exists():
                (root / "etc" / name).chmod(mode)
        usr = Bind((tree.out / "usr").resolve(), table.target("root/usr"))
        table.run(
            "systemd-sysusers",
            f"--root={table.target('root')}",
            env={"SOURCE_DATE_EPOCH": str(epoch)},
            binds=(usr,),
        )
        for name, mode in ACCOUNTS.items():
            path = root / "etc" / name
            if path.exists():
                # sysusers makes new ones with mode 0000, closed to their owner as well
                path.chmod(0o600)
                tree.write(f"{ETC}/{name}", path.read_bytes(), "rule:accounts", mode)


def _no_dynamic_ids(tree: Tree) -> None:
    """An id that depends on which packages an image has would give one user's files to another."""
    folder = tree.out / "usr/lib/sysusers.d"
    fixed = {
        line.split(":")[0]
        for name in ("passwd", "group")
        if (tree.out / ETC / name).is_file()
        for line in (tree.out / ETC / name).read_text().splitlines()
    }
    floating: dict[str, str] = {}
    for path in sorted(folder.glob("*.conf")) if folder.is_dir() else ():
        for line in path.read_text().splitlines():
            hit = DYNAMIC.match(line)
            if hit:
                floating.setdefault(hit[1], path.name)
            elif line[:1] in "ug" and len(line.split()) > 2:
                fixed.add(line.split()[1])
    wrong = [f"{name} ({where})" for name, where in sorted(floating.items()) if name not in fixed]
    if wrong:
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"users or groups without a fixed number: {', '.join(wrong)}",
            hint="give the number in a sysusers.d file of the package",
        )


def _library_cache(tree: Tree, sdk_root: Path) -> None:
    """rule:libraries, where the dynamic linker finds what."""
    with bench(tree.out.parent / "libraries", sdk_root, {}) as table:
        root = _view(table, tree)
        usr = Bind((tree.out / "usr").resolve(), table.target("root/usr"))
        table.run("ldconfig", "-X", "-r", table.target("root"), binds=(usr,))
        tree.write(f"{ETC}/ld.so.cache", (root / "etc/ld.so.cache").read_bytes(), "rule:libraries")


def _package_list(tree: Tree, packages: Sequence[PackageImage], texts: Mapping[str, Path]) -> None:
    """rule:packages, what is inside and under which licences, with their texts."""
    listed = [
        {
            "package": package.cpv,
            "slot": package.slot,
            "licences": list(package.licences),
            "description": package.description,
            "homepage": package.homepage,
        }
        for package in sorted(packages, key=lambda package: package.cpv)
    ]
    tree.write(
        PACKAGES, json.dumps({"packages": listed}, indent=1, ensure_ascii=False) + "\n", "rule:packages"
    )
    _no_text_missing(packages, texts)
    for name in sorted({licence for package in packages for licence in package.licences}):
        tree.write(f"{LICENCES}/{name}", texts[name].read_bytes(), "rule:packages")


def _no_text_missing(packages: Sequence[PackageImage], texts: Mapping[str, Path]) -> None:
    """Most licences ask that whoever gets a copy gets their text too."""
    raise_all(
        [
            ColvertError(
                Code.LICENCE_TEXT,
                f"{package.cpv}: the licence {name} has no text",
                hint=f"put it into the overlay as licenses/{name}",
            )
            for package in packages
            for name in package.licences
            if name not in texts
        ]
    )


def _modules(tree: Tree, side: Path, sdk_root: Path) -> str | None:
    """The kernel's release; rule:modules makes modules.dep where the package did not."""
    folder = side / "usr/lib/modules"
    releases = sorted(p.parent.name for p in folder.glob("*/vmlinuz")) if folder.is_dir() else []
    if len(releases) > 1:
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"more than one kernel: {', '.join(releases)}",
            hint="choose one in the manifest",
        )
    if not releases:
        return None
    release = releases[0]
    modules = tree.out / "usr/lib/modules" / release
    if any(modules.rglob("*.ko*")) and not (modules / "modules.dep").exists():
        _depmod(tree, release, sdk_root)
    return release


def _depmod(tree: Tree, release: str, sdk_root: Path) -> None:
    with bench(tree.out.parent / "modules", sdk_root, {"tree": tree.out}) as table:
        for part in ("lib", "lib/modules", f"lib/modules/{release}"):
            folder = table.work / part
            folder.mkdir()
            owner = sandbox_id()
            os.chown(folder, owner, owner) if owner is not None else None
        table.run("depmod", "-b", f"{table.source('tree')}/usr", "-o", table.target(""), release)
        for path in sorted((table.work / "lib/modules" / release).iterdir()):
            if stat.S_ISREG(path.stat().st_mode):
                tree.write(f"usr/lib/modules/{release}/{path.name}", path.read_bytes(), "rule:modules")
