"""Model of an operating system, frozen and typed.

Field descriptions are the reference: `docs/manifest.md` explains, editors show them through
`manifests/schema.json`. Defaults here are "nothing"; what the default OS wants stands in
`manifests/base.yaml`, except for the disk, whose sizes are a promise of the design.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from builder.arch import DEFAULT, ArchitectureName
from builder.manifest.fields import (
    Account,
    AccountId,
    AccountPath,
    Atom,
    Calendar,
    Commit,
    Days,
    Few,
    FileMode,
    FixedVersion,
    GitUrl,
    Identifier,
    ImagePath,
    KernelWord,
    LicenceName,
    Locale,
    Mirror,
    Name,
    NewAccount,
    OverlayDirectory,
    Profile,
    PublicUrl,
    SourceFile,
    Span,
    Unit,
    UseFlag,
    Version,
)
from builder.quantities import GIB, KIB, MIB, SHOWN, ClusterSize, EspSize, OemSize, PartitionSize, Size
from builder.texts import nearest, quote

# the levels of each erofs compressor, as mkfs.erofs takes them; none: it has no level
COMPRESSORS: Mapping[str, tuple[range, ...]] = {
    "none": (),
    "lz4": (),
    "lz4hc": (range(13),),
    "lzma": (range(10), range(100, 110)),
    "deflate": (range(1, 10),),
    "zstd": (range(23),),
}
_DIRECTORY = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class GitOverlay(_Part):
    """An overlay in a git repository, pinned to a commit."""

    git: GitUrl
    """URL of the repository."""
    commit: Commit
    """Full id of the commit."""
    path: Annotated[str, Field(pattern=_DIRECTORY)] | None = None
    """Directory of the overlay inside the repository; by default the top."""


def _overlay_kind(value: object) -> str:
    return "git-overlay" if isinstance(value, (Mapping, GitOverlay)) else "path-overlay"


Overlay = Annotated[
    Annotated[OverlayDirectory, Tag("path-overlay")] | Annotated[GitOverlay, Tag("git-overlay")],
    Discriminator(_overlay_kind),
]


class Kernel(_Part):
    """Kernel and its command line."""

    package: Atom = "sys-kernel/colvert-kernel"
    """Package that installs the kernel."""
    fragments: tuple[SourceFile, ...] = ()
    """Configuration fragments, merged in this order over the package's own configuration."""
    command_line: tuple[KernelWord, ...] = ()
    """Kernel command line, one word per item; the build adds usrhash=."""


class FileEntry(_Part):
    """A file to add to the image."""

    path: ImagePath
    """Path in the image, below /usr or /etc (as the factory default)."""
    source: SourceFile | None = None
    """File to copy, relative to this manifest."""
    content: str | None = None
    """Text of the file, instead of a source."""
    mode: FileMode = 0o644
    """Octal file mode."""

    @model_validator(mode="after")
    def _one_origin(self) -> FileEntry:
        if (self.source is None) == (self.content is None):
            raise ValueError("a file requires either `source` or `content`")
        return self


class Units(_Part):
    """systemd units by what happens to them."""

    enable: tuple[Unit, ...] = ()
    """Units to enable, as in their [Install] section."""
    disable: tuple[Unit, ...] = ()
    """Units to disable although a package enables them."""
    mask: tuple[Unit, ...] = ()
    """Units to mask: they cannot be started at all."""

    @model_validator(mode="after")
    def _one_state(self) -> Units:
        states: dict[str, str] = {}
        for state in ("enable", "disable", "mask"):
            for unit in getattr(self, state):
                if unit in states:
                    both = f"`{states[unit]}` and `{state}`"
                    raise ValueError(f"{unit} is listed under both {both}; use !remove on the inherited item")
                states[unit] = state
        return self


class User(_Part):
    """A user account."""

    name: NewAccount
    """Login name."""
    id: AccountId
    """Fixed uid, and gid of the group of the same name."""
    home: AccountPath = "/"
    """Home directory."""
    shell: AccountPath = "/usr/bin/nologin"
    """Login shell."""
    groups: tuple[Account, ...] = ()
    """Further groups."""


class Group(_Part):
    """A group without a user of its name."""

    name: NewAccount
    """Group name."""
    id: AccountId
    """Fixed gid."""


class Usr(_Part):
    """The usr image."""

    file_system: Literal["erofs"] = "erofs"
    """File system of /usr."""
    compression: str = "zstd,3"
    """Compressor and level, such as zstd,3 or lz4hc,12, or none."""
    cluster_size: ClusterSize = 64 * KIB
    """Size of a compressed block: larger compresses better, but slows down random reads."""

    @field_validator("compression")
    @classmethod
    def _known_compressor(cls, value: str) -> str:
        name, comma, level = value.partition(",")
        if name not in COMPRESSORS:
            known = ", ".join(COMPRESSORS)
            raise ValueError(f"unknown compressor {quote(name)}{nearest(name, COMPRESSORS)} ({known})")
        levels = COMPRESSORS[name]
        if comma and not levels:
            raise ValueError(f"{name} has no compression level")
        number = int(level) if re.fullmatch("0|[1-9][0-9]{0,2}", level) else -1
        if comma and not any(number in one for one in levels):
            said = " or ".join(f"from {one[0]} to {one[-1]}" for one in levels)
            raise ValueError(f"the level of {name} must be a number {said}")
        return value


class Disk(_Part):
    """Partition sizes. The smallest slot ever shipped caps every later update."""

    esp_size: EspSize = GIB
    """EFI system partition, with room for the loader and two UKIs."""
    usr_size: PartitionSize = 2 * GIB
    """usr partition of each slot."""
    verity_size: PartitionSize = 32 * MIB
    """verity partition of each slot."""
    signature_size: PartitionSize = MIB
    """verity signature partition of each slot."""
    oem_size: OemSize = 256 * MIB
    """OEM partition, with the files that differ between platforms."""

    @model_validator(mode="after")
    def _tree_fits(self) -> Disk:
        # a hash tree of SHA-256 over 4 KiB blocks: 128 digests a block, level above level
        blocks, needed = self.usr_size // 4096, 1
        while blocks > 1:
            blocks = -(-blocks // 128)
            needed += blocks
        if needed * 4096 > self.verity_size:
            raise ValueError(f"verity_size must be at least {-(-needed * 4096 // MIB)} MiB for this usr_size")
        return self


class Update(_Part):
    """Where a machine looks for updates, and what it does with them."""

    source: PublicUrl | None = None
    """URL of the update server, without user or password; null: no updates."""
    channel: Name = "stable"
    """Update channel of the machines."""
    keys: tuple[SourceFile, ...] = ()
    """Additional trusted public keys (PEM) for updates, each NAME.pem."""
    expires_after: Days = 180
    """Days after `epoch` until the update index expires."""
    from_at_least: FixedVersion | None = None
    """Lowest version that can update directly to this version; null: any."""
    deltas: Few = 3
    """Number of earlier releases (of `--deltas-from`) to make deltas from."""
    reboot: Literal["never", "now", "window"] = "never"
    """Automatic reboot into an installed update."""
    window_start: Calendar | None = None
    """Start of the maintenance window, as in systemd.time(7): Sun 03:00."""
    window_length: Span | None = None
    """Length of the maintenance window: 2h."""
    rate: Size = 0
    """Download limit in bytes per second; 0: no limit."""
    kexec: Literal["no", "yes"] = "no"
    """Reboot with kexec, without the firmware, if possible."""

    @model_validator(mode="after")
    def _window(self) -> Update:
        if self.reboot == "window" and not (self.window_start and self.window_length):
            raise ValueError("`reboot: window` requires `window_start` and `window_length`")
        return self

    @model_validator(mode="after")
    def _keys_differ(self) -> Update:
        names = [key.path.stem for key in self.keys]
        for name in names:
            if names.count(name) > 1 or name == "development":
                raise ValueError(f"duplicate key name {name} (a key is named after its file)")
            if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
                raise ValueError(f"invalid key name {quote(name)}")
        return self


class Keys(_Part):
    """Names of the keys that sign; `development` is the throw-away key of a checkout."""

    usr: Name = "development"
    """Key for the root hash of the usr image."""
    secure_boot: Name = "development"
    """Key for the boot loader and the UKI (Secure Boot)."""
    release: Name = "development"
    """Key for the release index."""
    enroll: tuple[SourceFile, ...] = ()
    """Secure Boot variables to enroll at first boot: PK.auth, KEK.auth, db.auth (and dbx.auth)."""

    @model_validator(mode="after")
    def _enrolled_whole(self) -> Keys:
        names = sorted(source.path.name for source in self.enroll)
        needed = ["KEK.auth", "PK.auth", "db.auth"]
        if names and names not in (needed, sorted([*needed, "dbx.auth"])):
            raise ValueError("`enroll` requires PK.auth, KEK.auth and db.auth, and takes dbx.auth")
        return self


class Licences(_Part):
    """Which licences the packages of the image may have, by Gentoo's names; @NAME is a group of them."""

    refuse: tuple[LicenceName, ...] = ()
    """Refused licences; a package with a choice of licences may use another of them."""
    allow: tuple[LicenceName, ...] = ()
    """Allowed licences; empty: all that are not refused."""


# Settings of one platform as they were written: a model above this room validates them.
RawSettings = dict[str, Any]


class Manifest(_Part):
    """One operating system."""

    id: Identifier
    """ID in os-release and file names; at most 20 characters together with the version (`git`: 13)."""
    name: Name
    """Display name."""
    version: Version = "git"
    """`git` (tag, else the commit's time), or a fixed version of at most 13 characters."""
    epoch: Annotated[int, Field(ge=0, lt=1 << 32, json_schema_extra={"type": ["integer", "string"]})] = 0
    """SOURCE_DATE_EPOCH of the build in seconds since 1970; `git`: the commit's time."""
    architecture: ArchitectureName = DEFAULT.name
    """Processor architecture."""
    overlays: tuple[Overlay, ...] = ()
    """Ebuild repositories: a directory, or a git URL with a commit. Later overlays win."""
    profile: Profile = f"colvert/{DEFAULT.gentoo}"
    """Portage profile with the defaults of all packages, from the first overlay."""
    packages: tuple[Atom, ...] = ()
    """Packages of the image; dependencies are added automatically."""
    use: Mapping[Atom, tuple[UseFlag, ...]] = Field(default_factory=dict)
    """USE flags by package; `-flag` disables a flag."""
    kernel: Kernel = Kernel()
    """Kernel and its command line."""
    distfile_mirrors: tuple[Mirror, ...] = ()
    """Additional mirrors of source files: URLs or directories, tried first."""
    licences: Licences = Licences()
    """Licences that packages of the image may have."""
    files: tuple[FileEntry, ...] = ()
    """Files to add to the image."""
    units: Units = Units()
    """systemd units to enable, disable and mask."""
    users: tuple[User, ...] = ()
    """User accounts, created at build time."""
    groups: tuple[Group, ...] = ()
    """Groups, created at build time."""
    locales: tuple[Locale, ...] = ()
    """Locales; the first is the default."""
    usr: Usr = Usr()
    """The usr image."""
    disk: Disk = Disk()
    """Partition sizes."""
    platforms: Mapping[Identifier, RawSettings] = Field(default_factory=dict)
    """Settings by platform."""
    update: Update = Update()
    """Updates of the machines."""
    keys: Keys = Keys()
    """Names of the signing keys."""
    audit: SourceFile | None = None
    """Policy file of `colvert audit`, relative to this manifest."""

    @model_validator(mode="after")
    def _accounts_differ(self) -> Manifest:
        for kind, entries in (("name", [*self.users, *self.groups]), ("id", [*self.users, *self.groups])):
            seen: set[object] = set()
            for entry in entries:
                value = getattr(entry, kind)
                if value in seen:
                    raise ValueError(f"duplicate account {kind} {value} (each user has its own group)")
                seen.add(value)
        return self

    def part(self, *names: str) -> dict[str, object]:
        """The values of the named keys (such as `usr.compression`), for a stage's key.

        Nothing of this machine is in it: a source file counts by its content, an overlay
        or other directory by the path as written (who uses it adds what it holds).
        Mirrors are no part of any result, so asking for them is a mistake.
        """
        # only what is asked for is written out, so that other files are not read for it
        top = {name.partition(".")[0] for name in names}
        whole = self.model_dump(mode="json", include=top)
        part: dict[str, object] = {}
        for name in sorted(names):
            value: Any = whole
            for key in name.split("."):
                value = value[key]
            part[name] = value
        return part

    def part_json(self, *names: str) -> str:
        """`part` as canonical JSON: equal parts are equal texts."""
        return json.dumps(self.part(*names), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def shown(self, platforms: Mapping[str, BaseModel] = {}) -> dict[str, Any]:
        """Everything, written as a manifest writes it; `platforms` are settings that were validated."""
        whole = self.model_dump(mode="json", context=SHOWN)
        validated = {name: one.model_dump(mode="json", context=SHOWN) for name, one in platforms.items()}
        return {**whole, "platforms": {**whole["platforms"], **validated}}
