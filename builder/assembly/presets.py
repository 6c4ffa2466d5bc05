"""Formats: which units are on, decided by preset files and written as the links systemctl makes.

The files and the [Install] section are described in systemd.preset(5) and systemd.unit(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from builder.assembly.tree import ETC, Tree
from builder.errors import Code, ColvertError

UNITS = "usr/lib/systemd/system"
PRESETS = "usr/lib/systemd/system-preset"
SUFFIXES = (".service", ".socket", ".target", ".timer", ".path", ".mount", ".automount", ".swap", ".slice")
OWNER = "rule:units"
# above all that packages say
MANIFEST_PRESET = "00-manifest.preset"
WANTS = {"wantedby": "wants", "requiredby": "requires", "upheldby": "upholds"}


@dataclass(frozen=True)
class UnitRules:
    """What the manifest says of units, above the packages' presets."""

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Line:
    on: bool
    pattern: str
    instances: tuple[str, ...] = ()


@dataclass
class _Install:
    wants: list[tuple[str, str]] = field(default_factory=list)
    alias: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    default_instance: str = ""


def apply_presets(tree: Tree, rules: UnitRules) -> list[str]:
    """Write the links of all units that are on; returns their names."""
    _check_known(tree, rules)
    text = "".join(
        [f"enable {unit}\n" for unit in rules.enable] + [f"disable {unit}\n" for unit in rules.disable]
    )
    if text:
        tree.write(f"{PRESETS}/{MANIFEST_PRESET}", text, OWNER)
    lines = list(_lines(tree))
    on: dict[str, None] = {}
    for unit in _units(tree):
        for name in _chosen(unit, lines):
            _enable(tree, name, on)
    for unit in rules.mask:
        tree.link(f"{ETC}/systemd/system/{unit}", "/dev/null", OWNER)
    return list(on)


def _check_known(tree: Tree, rules: UnitRules) -> None:
    for unit in (*rules.enable, *rules.disable, *rules.mask):
        if _file(tree, unit) is None:
            raise ColvertError(
                Code.IMAGE_INVALID,
                f"no package brings the unit {unit}",
                hint="add its package, or take the unit out of the manifest",
            )


def _file(tree: Tree, unit: str) -> Path | None:
    """The file of a unit; an instance's is its template's."""
    template = re.sub(r"@[^.]+\.", "@.", unit)
    for name in (unit, template):
        path = tree.out / UNITS / name
        if path.exists() or path.is_symlink():
            return path
    return None


def _lines(tree: Tree) -> Iterator[_Line]:
    """All preset lines in the order that decides: by file name, then by line."""
    files: dict[str, Path] = {}
    for folder in (tree.out / PRESETS, tree.out / ETC / "systemd/system-preset"):
        for path in sorted(folder.glob("*.preset")) if folder.is_dir() else ():
            files[path.name] = path
    for name in sorted(files):
        for line in files[name].read_text().splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] in ("enable", "disable"):
                yield _Line(words[0] == "enable", words[1], tuple(words[2:]))


def _units(tree: Tree) -> list[str]:
    """Unit files that have a say of their own: not the links, which are aliases."""
    found = []
    for folder in (UNITS, f"{ETC}/systemd/system"):
        path = tree.out / folder
        if path.is_dir():
            found += [
                f.name for f in path.iterdir() if f.suffix in SUFFIXES and f.is_file() and not f.is_symlink()
            ]
    return sorted(set(found))


def _chosen(unit: str, lines: Sequence[_Line]) -> list[str]:
    """The unit, or a template's instances, if the first line that names it says so."""
    for line in lines:
        if fnmatchcase(unit, line.pattern):
            if not line.on:
                return []
            if line.instances:
                return [unit.replace("@.", f"@{instance}.") for instance in line.instances]
            return [unit]
        # "enable name@instance.service" means the instance of a template
        if "@." in unit and line.on and fnmatchcase(line.pattern, unit.replace("@.", "@?*.")):
            return [line.pattern]
    return [unit]


def _enable(tree: Tree, unit: str, on: dict[str, None]) -> None:
    path = _file(tree, unit)
    if path is None or path.is_symlink() or unit in on:
        return
    install = _install(path)
    instance = unit
    if "@." in unit:
        if not install.default_instance:
            return
        instance = unit.replace("@.", f"@{install.default_instance}.")
    if install.wants or install.alias or install.also:
        on[instance] = None
    base = f"{ETC}/systemd/system"
    for kind, other in install.wants:
        name = f"{base}/{_expand(other, instance)}.{kind}/{instance}"
        tree.link(name, f"/{UNITS}/{path.name}", OWNER)
    for alias in install.alias:
        tree.link(f"{base}/{_expand(alias, instance)}", f"/{UNITS}/{path.name}", OWNER)
    for also in install.also:
        _enable(tree, _expand(also, instance), on)


def _install(path: Path) -> _Install:
    """The [Install] section of a unit file."""
    found = _Install()
    inside = False
    for raw in path.read_text().splitlines():
        line = raw.strip()
        if line.startswith("["):
            inside = line == "[Install]"
            continue
        key, equals, value = line.partition("=")
        if not inside or not equals or line.startswith(("#", ";")):
            continue
        name = key.strip().lower()
        if name in WANTS:
            found.wants += [(WANTS[name], word) for word in value.split()]
        elif name == "alias":
            found.alias += value.split()
        elif name == "also":
            found.also += value.split()
        elif name == "defaultinstance":
            found.default_instance = value.strip()
    return found


def _expand(text: str, unit: str) -> str:
    """Replace the specifiers that unit names may hold."""
    stem = unit.rsplit(".", 1)[0]
    prefix, _, instance = stem.partition("@")
    known = {"%%": "%", "%n": unit, "%N": stem, "%p": prefix, "%i": instance, "%j": prefix.rsplit("-", 1)[-1]}
    return re.sub(r"%.", lambda hit: known.get(hit[0], hit[0]), text)
