"""Platforms chosen for a build, and the checks of their settings.

All of it is checked before anything is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from builder.build.settings import find_problems
from builder.errors import Code, ColvertError, Location, raise_all
from builder.formats.gpt import DISK_SIZE, MIB, TAIL
from builder.manifest.load import LoadedManifest
from builder.manifest.model import Disk
from builder.manifest.problems import Problems, explain, within
from builder.platforms import PLATFORMS, Platform, Settings
from builder.quantities import GIB, MAX_DISK, format_size
from builder.texts import nearest, quote

ALL = "all"
# the key of a manifest
PLATFORMS_KEY = "platforms"


# models of settings that are no part of the manifest's own, by key and name, for its documentation
MODELS: Mapping[str, Mapping[str, type[Settings]]] = {
    PLATFORMS_KEY: {name: platform.settings for name, platform in PLATFORMS.items()}
}


def choose(targets: Sequence[str]) -> list[Platform]:
    """The platforms by name; `all` is every one."""
    unknown = [name for name in dict.fromkeys(targets) if name not in (*PLATFORMS, ALL)]
    errors = [_unknown("target", name) for name in unknown]
    raise_all(errors)
    return [PLATFORMS[name] for name in (PLATFORMS if ALL in targets else dict.fromkeys(targets))]


def check_settings(loaded: LoadedManifest) -> None:
    """Refuse invalid settings before anything is built; all errors are reported at once."""
    raise_all([*_platform_problems(loaded), *find_problems(loaded)])


def read_settings(loaded: LoadedManifest) -> dict[str, Settings]:
    """The settings of each platform that the manifest names, validated by the platform's own model."""
    settings, problems = _read_settings(loaded)
    problems.raise_any()
    return settings


def _read_settings(loaded: LoadedManifest) -> tuple[dict[str, Settings], Problems]:
    settings: dict[str, Settings] = {}
    problems = Problems(loaded.files)
    for name, raw in loaded.manifest.platforms.items():
        if name not in PLATFORMS:
            problems.take(_unknown("platform", name, loaded.origin((PLATFORMS_KEY, name))))
            continue
        model = PLATFORMS[name].settings
        try:
            settings[name] = model.model_validate(raw)
        except ValidationError as error:
            explain(within(error, PLATFORMS_KEY, name), model, loaded.place, problems)
    return settings, problems


def _platform_problems(loaded: LoadedManifest) -> list[ColvertError]:
    """Every platform that the manifest names is one and takes its settings, and each disk is large enough."""
    found, problems = _read_settings(loaded)
    errors = problems.errors()
    for name, settings in found.items():
        size = settings.disk_size
        if size is not None and (what := _size_problem(size, PLATFORMS[name], loaded.manifest.disk)):
            where = loaded.origin((PLATFORMS_KEY, name, "disk_size"))
            errors.append(ColvertError(Code.MANIFEST_INVALID, what, where=where))
    if disk_size(loaded.manifest.disk) > MAX_DISK:
        what = f"the partitions need {format_size(least_size(loaded.manifest.disk))}"
        hint = f"use smaller partitions: a disk has at most {format_size(MAX_DISK)}, with 1 GiB for ROOT"
        where = loaded.origin(("disk",))
        errors.append(ColvertError(Code.MANIFEST_INVALID, what, where=where, hint=hint))
    return errors


def least_size(disk: Disk) -> int:
    """The smallest disk that holds all partitions, in whole MiB."""
    slot = disk.usr_size + disk.verity_size + disk.signature_size
    # before the first partition there is 1 MiB for the table; BIOS-BOOT has 1 MiB
    used = MIB + disk.esp_size + MIB + 2 * slot + disk.oem_size + TAIL
    return -(-used // MIB) * MIB


def disk_size(disk: Disk) -> int:
    """The size of the disk where a platform does not say another: whole GiB, at least 1 of them for ROOT."""
    return max(DISK_SIZE, (-(-least_size(disk) // GIB) + 1) * GIB)


def _size_problem(size: int, platform: Platform, disk: Disk) -> str:
    if size < least_size(disk):
        return (
            f"a disk of {format_size(size)} is too small: the partitions need {format_size(least_size(disk))}"
        )
    if size % platform.unit:
        unit = format_size(platform.unit).removeprefix("1 ")
        return f"{platform.name} requires a disk size in whole {unit}, not {format_size(size)}"
    return ""


def _unknown(what: str, name: str, where: Location | None = None) -> ColvertError:
    near = nearest(name, [*PLATFORMS, ALL])
    hint = f"use one of {', '.join(PLATFORMS)}, or all"
    return ColvertError(Code.UNKNOWN_TARGET, f"unknown {what} {quote(name)}{near}", where=where, hint=hint)
