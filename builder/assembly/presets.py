"""Units that are on: systemd's own `systemctl preset-all`, its links taken into the tree.

docs/decisions/presets.md says why no preset file is read here. The manifest's choice becomes a
preset file above those of all packages; it stays in the image, because systemd applies the presets
once more when a machine starts for the first time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builder.assembly.root import ETC
from builder.assembly.tree import Tree
from builder.assembly.view import view
from builder.errors import Code, ColvertError, raise_all

UNITS = "usr/lib/systemd/system"
PRESETS = "usr/lib/systemd/system-preset"
# units and presets of the machine's own administrator, which packages may bring too
OWN_UNITS = "etc/systemd/system"
READ_BY_SYSTEMD = (UNITS, PRESETS, f"{ETC}/systemd/system", f"{ETC}/systemd/system-preset")
SUFFIXES = (".service", ".socket", ".target", ".timer", ".path", ".mount", ".automount", ".swap", ".slice")
OWNER = "rule:presets"
# above all that packages say
MANIFEST_PRESET = "00-manifest.preset"
PULLING = (".wants", ".requires", ".upholds")


@dataclass(frozen=True)
class UnitRules:
    """The manifest's `units`, with priority over the packages' presets."""

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


def apply_presets(tree: Tree, rules: UnitRules, sdk_root: Path) -> list[str]:
    """Write the links of all units that are on; returns their names."""
    _check_known(tree, rules)
    _check_text(tree)
    text = preset_text(rules)
    if text:
        tree.write(f"{PRESETS}/{MANIFEST_PRESET}", text, OWNER)
    with view(tree, "presets", sdk_root) as root:
        before = root.links()
        root.run("systemctl", f"--root={root.root}", "preset-all")
        after = root.links()
    for name in sorted(before.keys() - after.keys()):
        tree.remove(f"{ETC}{name.removeprefix('etc')}")
    for name, target in sorted(after.items()):
        if before.get(name) != target:
            tree.link(f"{ETC}{name.removeprefix('etc')}", target, OWNER)
    for unit in rules.mask:
        tree.link(f"{ETC}/systemd/system/{unit}", "/dev/null", OWNER)
    return sorted(set(_on(after)))


def preset_text(rules: UnitRules) -> str:
    """The manifest's choice as a preset file (systemd.preset(5)); instances stand behind their template."""
    lines: dict[str, list[str]] = {}
    for unit in rules.enable:
        template = template_of(unit)
        instances = lines.setdefault(f"enable {template or unit}", [])
        instances += [unit[unit.index("@") + 1 : unit.rindex(".")]] if template else []
    lines |= {f"disable {unit}": [] for unit in rules.disable}
    return "".join(f"{' '.join([line, *instances])}\n" for line, instances in lines.items())


def template_of(unit: str) -> str:
    """The template of an instance (`getty@.service` of `getty@tty1.service`), else nothing."""
    prefix, at, rest = unit.partition("@")
    instance, dot, suffix = rest.rpartition(".")
    return f"{prefix}@.{suffix}" if at and dot and instance else ""


def _check_known(tree: Tree, rules: UnitRules) -> None:
    unknown = [
        ColvertError(
            Code.IMAGE_INVALID,
            f"no package installs the unit {unit}",
            hint="add its package to the manifest, or remove the unit from `units`",
        )
        for unit in (*rules.enable, *rules.disable, *rules.mask)
        if not any(_brought(tree, name) for name in (unit, template_of(unit)) if name)
    ]
    instances = [
        ColvertError(
            Code.IMAGE_INVALID,
            f"units.disable: {unit}: a preset can disable a template, but not a single instance",
            hint=f"disable {template_of(unit)}, or list the instance under units.mask",
        )
        for unit in rules.disable
        if template_of(unit) and not _brought(tree, unit)
    ]
    raise_all([*unknown, *instances])


def _brought(tree: Tree, unit: str) -> bool:
    return any(f"{folder}/{unit}" in tree.owners for folder in (UNITS, f"{ETC}/systemd/system"))


def _check_text(tree: Tree) -> None:
    """systemd leaves out lines that are not UTF-8, with a warning that nobody would see."""
    for name in sorted(tree.owners):
        if name.startswith(tuple(f"{folder}/" for folder in READ_BY_SYSTEMD)) and tree.is_file(name):
            tree.text(name)


def _on(links: Mapping[str, str]) -> Iterator[str]:
    """The units that links turn on: those that another unit pulls in, and those with an alias."""
    for name, target in links.items():
        folder, _, unit = name.rpartition("/")
        if folder.startswith(f"{OWN_UNITS}/") and folder.endswith(PULLING):
            yield unit
        elif folder == OWN_UNITS and target != "/dev/null":
            yield PurePosixPath(target).name
