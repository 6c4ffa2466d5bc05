"""Rules that finish a tree: os-release, accounts, units, licences; each owns its files (`rule:NAME`)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.assembly.accounts import MANIFEST, read_accounts
from builder.assembly.presets import MANIFEST_PRESET, PRESETS, UnitRules, apply_presets
from builder.assembly.root import ETC, INNER
from builder.assembly.tree import PackageImage, Tree, check_owned, merge, totals
from builder.assembly.view import view
from builder.errors import Code, ColvertError, raise_all
from builder.pipeline.files import open_regular
from builder.places import place_problem
from builder.sandbox.run import sandbox_id
from builder.tools.workspace import bench

ACCOUNTS = {"passwd": 0o644, "group": 0o644, "shadow": 0o600, "gshadow": 0o600}
PACKAGES = "usr/share/colvert/packages.json"
LICENCES = "usr/share/colvert/licences"
UPDATE = "usr/lib/colvert/update.conf"
RING = "usr/lib/colvert/keys/update"
# files that rules write over anything else, and below what
WRITTEN: Mapping[str, str] = {
    "usr/lib/os-release": "set `id`, `name` and `version` instead",
    PACKAGES: "it lists the packages of the image",
    UPDATE: "set `update` instead",
    f"{PRESETS}/{MANIFEST_PRESET}": "set `units` instead",
    f"usr/lib/sysusers.d/{MANIFEST}": "set `users` and `groups` instead",
    f"usr/lib/tmpfiles.d/{MANIFEST}": "choose another file name",
    "usr/lib/tmpfiles.d/zz-colvert-packages.conf": "choose another file name",
    f"{ETC}/ld.so.cache": "ldconfig generates it from the libraries of the image",
}
WRITTEN_BELOW: Mapping[str, str] = {
    LICENCES: "it contains the licence texts from the overlays' `licenses` directories",
    RING: "set `update.keys` instead",
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
    """Settings that turn a tree of packages into an image."""

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
    """Report of a tree: owner of every path, bytes per owner, enabled units, kernel."""

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
    units = apply_presets(tree, rules.units, sdk_root)
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
            Code.MANIFEST_INVALID, f"cannot add {path}: {problem}", hint="choose a path below /usr or /etc"
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
            content = (file.text or "").encode() if file.source is None else _given(file.source)
            tree.write(name, content, "rule:files", file.mode)


def _given(path: Path) -> bytes:
    """The content of a file that the manifest names; it may be a link, and has to be a file."""
    with open_regular(path.resolve(), code=Code.MANIFEST_INVALID) as stream:
        return stream.readall()


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
    lines = [
        f"d {_escaped(f'/{name}')} {tree.var[name][0]:04o} root root -"
        for name in inner
        if f"/{name}" not in known
    ]
    if lines:
        head = "# Empty directories installed by packages.\n"
        tree.write(
            "usr/lib/tmpfiles.d/zz-colvert-packages.conf", head + "\n".join(lines) + "\n", "rule:tmpfiles"
        )


def _escaped(path: str) -> str:
    """A path as tmpfiles.d(5) reads it: % begins a specifier, white space and quotes end or join words."""
    return re.sub(r"""[^\w/.,:+@=~-]""", lambda hit: "%%" if hit[0] == "%" else _octets(hit[0]), path)


def _octets(character: str) -> str:
    return "".join(f"\\x{octet:02x}" for octet in character.encode())


def _named_in_tmpfiles(tree: Tree) -> set[str]:
    lines = [
        line.split()
        for folder in ("usr/lib/tmpfiles.d", f"{ETC}/tmpfiles.d")
        for name in tree.listed(folder, ".conf")
        for line in tree.text(name).splitlines()
    ]
    return {words[1].rstrip("/") for words in lines if len(words) > 1 and not words[0].startswith("#")}


def _accounts(tree: Tree, sdk_root: Path, epoch: int) -> None:
    """rule:accounts, users and groups of the packages' sysusers.d, with numbers that never change."""
    _no_dynamic_ids(tree)
    _no_clashes(tree)
    with view(tree, "accounts", sdk_root) as root:
        present = [name for name in ACCOUNTS if root.inside.stat(f"etc/{name}")]
        for name in present:
            root.inside.chmod(f"etc/{name}", ACCOUNTS[name])
        root.run("systemd-sysusers", f"--root={root.root}", env={"SOURCE_DATE_EPOCH": str(epoch)})
        for name, mode in ACCOUNTS.items():
            if root.inside.stat(f"etc/{name}"):
                # sysusers makes new ones with mode 0000, closed to their owner as well
                root.inside.chmod(f"etc/{name}", 0o600)
                tree.write(f"{ETC}/{name}", root.inside.read(f"etc/{name}"), "rule:accounts", mode)


def _no_dynamic_ids(tree: Tree) -> None:
    """An id that depends on which packages an image has would give one user's files to another."""
    fixed = {
        line.split(":")[0]
        for name in (f"{ETC}/passwd", f"{ETC}/group")
        if name in tree.owners
        for line in tree.text(name).splitlines()
    }
    floating: dict[str, str] = {}
    for name in [*tree.listed("usr/lib/sysusers.d", ".conf"), *tree.listed(f"{ETC}/sysusers.d", ".conf")]:
        for line in tree.text(name).splitlines():
            hit = DYNAMIC.match(line)
            if hit:
                floating.setdefault(hit[1], name.rpartition("/")[2])
            elif line[:1] in "ug" and len(line.split()) > 2:
                fixed.add(line.split()[1])
    wrong = [f"{name} ({where})" for name, where in sorted(floating.items()) if name not in fixed]
    if wrong:
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"users or groups without a fixed id: {', '.join(wrong)}",
            hint="set the id in the package's sysusers.d file",
        )


def _no_clashes(tree: Tree) -> None:
    """What contradicts something else would be left out, or get an id that depends on the image."""
    files = [*tree.listed("usr/lib/sysusers.d", ".conf"), *tree.listed(f"{ETC}/sysusers.d", ".conf")]
    existing = [name for name in (f"{ETC}/passwd", f"{ETC}/group") if name in tree.owners]
    texts = {name.rpartition("/")[2]: tree.text(name) for name in (*files, *existing)}
    raise_all(
        [
            ColvertError(
                Code.IMAGE_INVALID,
                f"{clash.account.file}: {clash.what}",
                hint="give each user and group a name and an id of its own, in one sysusers.d file",
            )
            for clash in read_accounts(texts).clashes
        ]
    )


def _library_cache(tree: Tree, sdk_root: Path) -> None:
    """rule:libraries, where the dynamic linker finds what."""
    with view(tree, "libraries", sdk_root) as root:
        root.run("ldconfig", "-X", "-r", root.root)
        tree.write(f"{ETC}/ld.so.cache", root.inside.read("etc/ld.so.cache"), "rule:libraries")


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
        tree.write(f"{LICENCES}/{name}", _licence(texts[name]), "rule:packages")


def _licence(path: Path) -> bytes:
    """The text of a licence: a file of its overlay, or a link to one beside it."""
    final = path.resolve()
    if not final.is_relative_to(path.parent.resolve()):
        raise ColvertError(
            Code.LICENCE_TEXT,
            f"the licence text {path} is a symbolic link to {final}, outside its directory",
            hint="copy the text itself into the overlay",
        )
    with open_regular(final, code=Code.LICENCE_TEXT) as stream:
        return stream.readall()


def _no_text_missing(packages: Sequence[PackageImage], texts: Mapping[str, Path]) -> None:
    """Most licences ask that whoever gets a copy gets their text too."""
    raise_all(
        [
            ColvertError(
                Code.LICENCE_TEXT,
                f"{package.cpv}: the text of the licence {name} is missing",
                hint=f"add it to the overlay as licenses/{name}",
            )
            for package in packages
            for name in package.licences
            if name not in texts
        ]
    )


def _modules(tree: Tree, side: Path, sdk_root: Path) -> str | None:
    """The kernel's release; rule:modules makes modules.dep where the package did not."""
    folder = side / "usr/lib/modules"
    # written by `merge`, which follows no link: what is here are the packages' files themselves
    releases = sorted(p.parent.name for p in folder.glob("*/vmlinuz")) if folder.is_dir() else []
    if len(releases) > 1:
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"more than one kernel: {', '.join(releases)}",
            hint="keep only one kernel package in the manifest",
        )
    if not releases:
        return None
    release = releases[0]
    modules = f"usr/lib/modules/{release}"
    has_modules = any(
        name.startswith(f"{modules}/") and ".ko" in name.rpartition("/")[2] for name in tree.owners
    )
    if has_modules and f"{modules}/modules.dep" not in tree.owners:
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
            if path.is_file() and not path.is_symlink():
                tree.write(f"usr/lib/modules/{release}/{path.name}", path.read_bytes(), "rule:modules")
