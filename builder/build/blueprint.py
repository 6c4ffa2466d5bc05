"""Stages of one image as jobs, each made of the artifacts of the jobs before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from builder.assembly.presets import UnitRules
from builder.assembly.rules import tree_path
from builder.boot import DEFAULT_LOADER
from builder.build import sbom
from builder.build.backing import Provided, account_files, check_backing, is_account_file
from builder.build.digests import Digests
from builder.build.disk import DISK, Disk, PackedDisk
from builder.build.initrd import INITRD, Initrd
from builder.build.inventory import MakeInventory
from builder.build.platform_image import PlatformImage
from builder.build.sbom import Sbom
from builder.build.session import Session
from builder.build.targets import disk_size, read_settings
from builder.build.tree import SIDE, TREE, File, Shipped, Tree
from builder.build.trusted_keys import machine_settings, trusted_keys
from builder.build.uki import UKI, Boot, Uki
from builder.build.update import Announcement, Delta, Old, Slot, Update, Whole
from builder.build.usr import ROOT_HASH, USR, VERITY, Usr
from builder.describe.sbom import Package
from builder.formats.gpt import Sizes
from builder.manifest.model import Manifest
from builder.packages.package import IMAGE
from builder.packages.plan import Plan
from builder.packages.portage.config import PACKAGE_EPOCH
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.ingest import ingest_files, select
from builder.pipeline.scheduler import Entries, Job
from builder.pipeline.stage import Stage
from builder.platforms import Need, Platform, Settings
from builder.signing.boot_signatures import UNSIGNED, BootSignatures
from builder.updates.contents import BOOT
from builder.updates.delta import Earlier
from builder.updates.keys import DEVELOPMENT


@dataclass(frozen=True)
class Blueprint:
    """Inputs and stages of one image."""

    session: Session
    # releases from which deltas start
    earlier: tuple[Earlier, ...] = ()
    # what the signing step gives back; a build has none
    signatures: BootSignatures = UNSIGNED

    @property
    def manifest(self) -> Manifest:
        return self.session.loaded.manifest

    @property
    def plan(self) -> Plan:
        return self.session.plan

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def version(self) -> str:
        return self.session.loaded.version

    @property
    def epoch(self) -> int:
        return self.session.loaded.epoch

    # --- inputs that the user has --------------------------------------------------

    @cached_property
    def licences(self) -> Artifact:
        """The texts of the licences that packages of the image name; later overlays win."""
        wanted = {name for cpv in self.plan.shipped for name in self.plan.nodes[cpv].licences}
        return self._texts("licences", wanted)

    @cached_property
    def bill(self) -> tuple[Package, ...]:
        """Every package of the plan as the SBOM has it."""
        shipped = frozenset(self.plan.shipped)
        builder = self.session.builder
        return tuple(
            sbom.describe(node, builder.sources(node), shipped) for _, node in sorted(self.plan.nodes.items())
        )

    def _texts(self, kind: str, wanted: Iterable[str]) -> Artifact:
        texts = self.session.licence_texts
        return select(self.session.store, kind, {n: texts[n] for n in sorted(set(wanted) & texts.keys())})

    @cached_property
    def files(self) -> tuple[tuple[File, ...], Artifact | None]:
        """The files that the manifest adds, and the copies of those that it names."""
        rows, named = [], dict[str, Path]()
        for number, item in enumerate(self.manifest.files):
            source = None
            if item.source is not None:
                source = f"{number:03}-{item.source.path.name}"
                named[source] = item.source.path
            rows.append(File(item.path, item.mode, item.content, source))
        copies = ingest_files(self.session.store, "files", named) if named else None
        return (*rows, *self._accounts()), copies

    def _accounts(self) -> Iterable[File]:
        """The manifest's users, groups and locale as files."""
        for path, text in account_files(self.session.loaded).items():
            yield File(path, 0o644, text)
        if self.manifest.locales:
            yield File("etc/locale.conf", 0o644, f"LANG={self.manifest.locales[0]}\n")

    @cached_property
    def enrolled(self) -> Artifact | None:
        """The Secure Boot variables to enroll at first boot, if the manifest has any."""
        files = {source.path.name: source.path for source in self.manifest.keys.enroll}
        return ingest_files(self.session.store, "enroll", files) if files else None

    @cached_property
    def settings(self) -> Mapping[str, Settings]:
        """The manifest's settings of platforms, by platform."""
        return read_settings(self.session.loaded)

    @cached_property
    def old(self) -> dict[str, Old]:
        """The earlier releases, their whole files taken in, by version."""
        return {one.index.version: _old(one, self.session) for one in self.earlier}

    def take_in(self) -> None:
        """Take in everything of the user's that a job will read, before the first job starts."""
        _ = (self.files, self.enrolled, self.licences, self.bill, self.old, self.keys)

    @cached_property
    def keys(self) -> dict[str, bytes]:
        """The public keys (PEM) whose updates the image takes, by name."""
        return {name: key.pem for name, key in trusted_keys(self.session).items()}

    # --- stages --------------------------------------------------------------------

    def _check_backing(self, done: Entries) -> None:
        """Whether the packages have what accounts and locales of the manifest need."""
        manifest, store = self.manifest, self.session.store
        if not (manifest.users or manifest.groups or manifest.locales):
            return
        provided = Provided()
        for cpv in self.plan.shipped:
            part = done[cpv].part(IMAGE)
            provided.take(store.index(part), lambda part=part: store.path(part))  # type: ignore[misc]
        files, sources = self.files
        for file in files:
            place = tree_path(f"/{file.path.lstrip('/')}")
            text = file.text
            if is_account_file(place) and sources is not None and file.source is not None:
                text = (store.path(sources) / file.source).read_bytes().decode(errors="replace")
            provided.add(place, text or "")
        check_backing(self.session.loaded, provided)

    def tree(self, done: Entries) -> Tree:
        self._check_backing(done)
        files, sources = self.files
        nodes, units = self.plan.nodes, self.manifest.units
        return Tree(
            id=self.id,
            version=self.version,
            epoch=self.epoch,
            packages=tuple(
                Shipped(
                    cpv,
                    done[cpv].part(IMAGE),
                    nodes[cpv].licences,
                    nodes[cpv].slot,
                    nodes[cpv].description,
                    nodes[cpv].homepage,
                )
                for cpv in self.plan.shipped
            ),
            release=tuple(self._os_release().items()),
            files=files,
            sources=sources,
            units=UnitRules(units.enable, units.disable, units.mask),
            licences=self.licences,
            update=machine_settings(self.manifest.update),
            keys=self.keys,
        )

    def _os_release(self) -> dict[str, str]:
        loaded, id, version = self.session.loaded, self.id, self.version
        release = {
            "ID": id,
            "ID_LIKE": "gentoo",
            "NAME": self.manifest.name,
            "PRETTY_NAME": f"{self.manifest.name} {version}",
            "VERSION": version,
            "VERSION_ID": version,
            "IMAGE_ID": id,
            "IMAGE_VERSION": version,
        }
        if loaded.commit and not loaded.dirty:
            release["BUILD_ID"] = loaded.commit
        if self.manifest.keys.release == DEVELOPMENT:
            # everybody with the checkout can sign what such an image takes
            release["COLVERT_KEYS"] = DEVELOPMENT
        return release

    def usr(self, done: Entries) -> Usr:
        usr, disk = self.manifest.usr, self.manifest.disk
        return Usr(
            tree=done["tree"].part(TREE),
            id=self.id,
            version=self.version,
            epoch=self.epoch,
            compression=usr.compression,
            cluster_size=usr.cluster_size,
            usr_size=disk.usr_size,
            verity_size=disk.verity_size,
        )

    def initrd(self, done: Entries) -> Initrd:
        tree = done["tree"]
        return Initrd(tree.part(TREE), tree.part(SIDE), self.id, self.version, PACKAGE_EPOCH)

    def root_hash(self, done: Entries) -> str:
        return self.session.store.read(done["usr"].part(ROOT_HASH)).decode()

    def uki(self, done: Entries) -> Uki:
        return Uki(
            architecture=self.manifest.architecture,
            loader=DEFAULT_LOADER,
            tree=done["tree"].artifact,
            initrd=done["initrd"].part(INITRD),
            root_hash=self.root_hash(done),
            command_line=self.manifest.kernel.command_line,
            id=self.id,
            version=self.version,
        )

    def boot(self, done: Entries) -> Boot:
        return Boot(
            architecture=self.manifest.architecture,
            loader=DEFAULT_LOADER,
            tree=done["tree"].part(TREE),
            uki=done["uki"].part(UKI),
            root_hash=self.root_hash(done),
            id=self.id,
            version=self.version,
            signatures=self.signatures,
        )

    def disk(self, done: Entries) -> Disk:
        disk = self.manifest.disk
        return Disk(
            architecture=self.manifest.architecture,
            loader=DEFAULT_LOADER,
            usr=done["usr"].artifact,
            boot=done["boot"].artifact,
            root_hash=self.root_hash(done),
            id=self.id,
            version=self.version,
            epoch=self.epoch,
            sizes=Sizes(
                esp=disk.esp_size,
                usr=disk.usr_size,
                verity=disk.verity_size,
                signature=disk.signature_size,
                oem=disk.oem_size,
            ),
            size=disk_size(disk),
            enrolled=self.enrolled,
        )

    def packed(self, done: Entries) -> PackedDisk:
        return PackedDisk(done["disk"].part(DISK), self.id, self.version)

    def platform_image(self, platform: Platform, done: Entries) -> PlatformImage:
        return PlatformImage(
            architecture=self.manifest.architecture,
            platform=platform.name,
            given={need: _given(need, done) for need in platform.needs},
            id=self.id,
            title=self.manifest.name,
            version=self.version,
            epoch=self.epoch,
            settings=self.settings.get(platform.name, platform.settings()),
        )

    def slot(self, done: Entries) -> Slot:
        return Slot(done["usr"].artifact, done["boot"].artifact, self.id, self.version)

    def whole(self, done: Entries) -> Whole:
        return Whole(self.slot(done))

    def delta(self, old: Old, done: Entries) -> Delta:
        return Delta(self.slot(done), old)

    def update(self, done: Entries) -> Update:
        update = self.manifest.update
        return Update(
            slot=self.slot(done),
            root_hash=self.root_hash(done),
            whole=done["whole"].artifact,
            deltas=tuple((old, done[f"delta:{v}"].artifact) for v, old in self.old.items()),
            announcement=Announcement(
                architecture=self.manifest.architecture,
                channel=update.channel,
                expires_after=update.expires_after,
                from_at_least=update.from_at_least or "0",
                epoch=self.epoch,
            ),
        )

    def inventory(self, done: Entries) -> MakeInventory:
        return MakeInventory(
            tree=done["tree"].artifact,
            sized={
                "usr": done["usr"].part(USR),
                "verity": done["usr"].part(VERITY),
                "initrd": done["initrd"].part(INITRD),
                "uki": done["uki"].part(UKI),
            },
            command_line=self.manifest.kernel.command_line,
            use={cpv: self.plan.nodes[cpv].use for cpv in self.plan.shipped},
            id=self.id,
            version=self.version,
        )

    def sbom(self, done: Entries) -> Sbom:
        return Sbom(
            tree=done["tree"].artifact,
            packages=self.bill,
            texts=self._texts("sbom-licences", sbom.extracted(self.bill)),
            id=self.id,
            title=self.manifest.name,
            version=self.version,
            epoch=self.epoch,
        )

    # --- jobs ----------------------------------------------------------------------

    def jobs(self, platforms: Sequence[Platform] = ()) -> list[Job]:
        """The jobs of the image and of the platforms' files; the packages' jobs are needed beside them."""
        return [*self._image_jobs(), *self._release_jobs(), *self._platform_jobs(platforms)]

    def _image_jobs(self) -> list[Job]:
        return [
            self._job("tree", tuple(self.plan.shipped), self.tree),
            self._job("usr", ("tree",), self.usr),
            self._job("initrd", ("tree",), self.initrd),
            self._job("uki", ("tree", "initrd", "usr"), self.uki),
            self._job("boot", ("tree", "uki", "usr"), self.boot),
            self._job("disk", ("usr", "boot"), self.disk),
            self._job("packed", ("disk",), self.packed),
        ]

    def _release_jobs(self) -> list[Job]:
        deltas = [
            self._job(f"delta:{version}", ("usr", "boot"), partial(self.delta, old))
            for version, old in self.old.items()
        ]
        return [
            self._job("whole", ("usr", "boot"), self.whole),
            *deltas,
            self._job("update", ("usr", "boot", "whole", *(job.name for job in deltas)), self.update),
            self._job("inventory", ("tree", "usr", "initrd", "uki"), self.inventory),
            self._job("sbom", ("tree",), self.sbom),
        ]

    def _platform_jobs(self, platforms: Sequence[Platform]) -> list[Job]:
        return [
            Job(
                f"image:{one.name}",
                ("image", one.name),
                tuple(one.needs),
                partial(self.platform_image, one),
                # those with the most files first, so that none of them is what all wait for in the end
                priority=len(one.outputs),
            )
            for one in platforms
        ]

    def _job(self, name: str, needs: tuple[str, ...], make: Callable[[Entries], Stage]) -> Job:
        return Job(name, (name.partition(":")[0], self.id), needs, make, priority=100)


def digest_jobs(names: Sequence[str]) -> list[Job]:
    """A job for each of the jobs in `names` that hashes what is delivered of it."""
    return [Job(f"digests:{name}", ("digests", name), (name,), partial(_digests, name)) for name in names]


def _digests(name: str, done: Entries) -> Digests:
    return Digests(done[name].artifact)


def delivered(platforms: Sequence[Platform]) -> dict[str, str]:
    """The folders of OUT/VERSION and the jobs whose artifacts they are; "" is beside the folders."""
    folders = {one.name: f"image:{one.name}" for one in platforms}
    return {**folders, BOOT: "boot", "update": "update", "sbom": "sbom", "": "inventory"}


def _given(need: Need, done: Entries) -> Part | Artifact:
    """What a platform gets for a need."""
    match need:
        case Need.DISK:
            return done[need].part(DISK)
        case Need.PACKED:
            return done[need].artifact


def _old(one: Earlier, session: Session) -> Old:
    parts = one.index.parts.items()
    files = {f"{name}.zst": one.place / part.whole.name for name, part in parts}
    return Old(
        version=one.index.version,
        root_hash=one.index.root_hash,
        files=ingest_files(session.store, "release", files),
        parts={name: (part.size, part.sha256) for name, part in one.index.parts.items()},
    )
