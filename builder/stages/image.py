"""Image: binary packages -> tree -> usr image -> initrd and UKI -> disk -> platform images.

Each arrow is a stage: keyed by what it reads of the manifest, by what it consumes and by the
code that does it; a function of `formats/` does the work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from uuid import UUID

from builder.errors import Code, ColvertError
from builder.formats.content import Packed, pack
from builder.formats.erofs import ErofsSettings, make_erofs
from builder.formats.esp import BootFiles, make_esp
from builder.formats.gpt import Contents, Sizes, make_disk
from builder.formats.initrd import make_initrd
from builder.formats.oem import make_oem
from builder.formats.presets import UnitRules
from builder.formats.rules import ExtraFile, TreeRules, assemble
from builder.formats.tree import PackageImage
from builder.formats.uki import LOADER, STUB, UkiParts, make_uki
from builder.formats.verity import make_verity
from builder.manifest.model import Usr
from builder.pipeline.key import digest_file, digest_value
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import Entry
from builder.platforms import Context, Platform
from builder.stages.outputs import deliver
from builder.stages.packages import gives
from builder.stages.session import Session
from builder.stages.targets import check_settings, choose, disk_size

VERSION = 1
# A new entry's tries before the other slot is taken (systemd-boot, "Boot Counting").
TRIES = 3


def build_images(session: Session, targets: Sequence[str], out: Path) -> Path:
    """Build everything for the targets; returns `out`/VERSION."""
    platforms = choose(targets)
    check_settings(session.loaded)
    image = Image(session, session.build_packages())
    place = out / session.loaded.version
    entries = image.platforms(platforms)
    for platform in platforms:
        deliver(entries[platform.name].out, place / platform.name, session.events)
    return place


@dataclass
class Image:
    """The stages after the packages, each made when it is first asked for."""

    session: Session
    packages: dict[str, Entry]

    @cached_property
    def code(self) -> str:
        """Digest of the code that makes images, so that no stale result survives a change of it."""
        root = Path(__file__).parents[1]
        files = [path for name in ("formats", "platforms") for path in sorted((root / name).rglob("*"))]
        parts = {
            str(path.relative_to(root)): digest_file(path)
            for path in files
            if path.is_file() and "__pycache__" not in path.parts
        }
        return digest_value(parts)

    def prepare(
        self, name: str, inputs: dict[str, str], uses: tuple[Entry, ...], run: Callable[[Work], None]
    ) -> Stage:
        loaded = self.session.loaded
        whole = {"sdk": self.session.sdk.id, "code": self.code, "version": loaded.version, **inputs}
        return Stage(name, f"{loaded.manifest.id} {loaded.version}", VERSION, whole, run, uses)

    def stage(
        self, name: str, inputs: dict[str, str], uses: tuple[Entry, ...], run: Callable[[Work], None]
    ) -> Entry:
        return self.session.executor.obtain(self.prepare(name, inputs, uses, run))

    # --- tree -------------------------------------------------------------------

    @cached_property
    def shipped(self) -> list[str]:
        """The packages of the image: those asked for and what they need at run time."""
        plan = self.session.plan
        roots = [cpv for cpv in plan.nodes if _asked_for(self.session.atoms, plan.nodes[cpv].atom)]
        return plan.runtime(roots)

    @cached_property
    def tree(self) -> Entry:
        """out/tree is the image's root, out/side what does not ship, out/report.json who owns what."""
        manifest = self.session.loaded.manifest
        nodes = self.session.plan.nodes
        names = ("id", "name", "files", "units", "users", "groups", "locales")
        inputs = {
            "manifest": manifest.part_json(*names),
            "epoch": str(self.session.loaded.epoch),
            **{
                f"package:{cpv}": digest_value(
                    [
                        gives(self.packages[cpv]),
                        list(nodes[cpv].licences),
                        nodes[cpv].description,
                        nodes[cpv].homepage,
                    ]
                )
                for cpv in self.shipped
            },
        }
        uses = tuple(self.packages[cpv] for cpv in self.shipped)
        return self.stage("tree", inputs, uses, self._make_tree)

    def _make_tree(self, work: Work) -> None:
        nodes = self.session.plan.nodes
        images = [
            PackageImage(
                cpv,
                self.packages[cpv].out / "image",
                nodes[cpv].licences,
                nodes[cpv].slot,
                nodes[cpv].description,
                nodes[cpv].homepage,
            )
            for cpv in self.shipped
        ]
        report = assemble(
            images, work.out / "tree", self._rules(), side=work.out / "side", sdk_root=self.session.sdk.root
        )
        (work.out / "report.json").write_text(json.dumps(asdict(report), indent=1, sort_keys=True))

    def _rules(self) -> TreeRules:
        loaded = self.session.loaded
        manifest = loaded.manifest
        release = {
            "ID": manifest.id,
            "ID_LIKE": "gentoo",
            "NAME": manifest.name,
            "PRETTY_NAME": f"{manifest.name} {loaded.version}",
            "VERSION": loaded.version,
            "VERSION_ID": loaded.version,
            "IMAGE_ID": manifest.id,
            "IMAGE_VERSION": loaded.version,
        }
        texts = {
            path.name: path
            for overlay in reversed(self.session.settings.overlays)
            if (overlay.path / "licenses").is_dir()
            for path in sorted((overlay.path / "licenses").iterdir())
        }
        units = UnitRules(manifest.units.enable, manifest.units.disable, manifest.units.mask)
        return TreeRules(
            os_release=release,
            epoch=loaded.epoch,
            files=(*_manifest_files(self.session), *_accounts(self.session)),
            units=units,
            licence_texts=texts,
        )

    # --- usr, UKI, disk ------------------------------------------------------------

    @cached_property
    def usr(self) -> Entry:
        """out/usr.raw, out/usr.verity and out/roothash."""
        manifest = self.session.loaded.manifest
        inputs = {
            "tree": self.tree.digest,
            "manifest": manifest.part_json("id", "usr", "disk"),
            "epoch": str(self.session.loaded.epoch),
        }
        return self.stage("usr", inputs, (self.tree,), self._make_usr)

    def _make_usr(self, work: Work) -> None:
        loaded, root = self.session.loaded, self.session.sdk.root
        disk = loaded.manifest.disk
        work.phase("erofs")
        make_erofs(
            self.tree.out / "tree/usr",
            work.out / "usr.raw",
            sdk_root=root,
            epoch=loaded.epoch,
            settings=_compression(loaded.manifest.usr),
            limit=disk.usr_size,
        )
        work.phase("verity")
        verity = make_verity(
            work.out / "usr.raw",
            work.out / "usr.verity",
            sdk_root=root,
            identity=f"{loaded.manifest.id} {loaded.version}",
            limit=disk.verity_size,
        )
        (work.out / "roothash").write_text(verity.root_hash)

    @cached_property
    def initrd(self) -> Entry:
        """out/initrd"""
        inputs = {"tree": self.tree.digest, "epoch": str(self.session.loaded.epoch)}
        return self.stage("initrd", inputs, (self.tree,), self._make_initrd)

    def _make_initrd(self, work: Work) -> None:
        tree = self.tree.out
        epoch, root = self.session.loaded.epoch, self.session.sdk.root
        make_initrd(tree / "tree", tree / "side", work.out / "initrd", sdk_root=root, epoch=epoch)

    @property
    def root_hash(self) -> str:
        return (self.usr.out / "roothash").read_text()

    @cached_property
    def uki(self) -> Entry:
        """out/uki.efi: unsigned; it names its /usr by the root hash."""
        inputs = {
            "tree": self.tree.digest,
            "initrd": self.initrd.digest,
            "roothash": self.root_hash,
            "manifest": self.session.loaded.manifest.part_json("kernel.command_line"),
        }
        return self.stage("uki", inputs, (self.tree, self.initrd), self._make_uki)

    def _make_uki(self, work: Work) -> None:
        tree = self.tree.out
        release = json.loads((tree / "report.json").read_text())["kernel"]
        if release is None:
            raise ColvertError(
                Code.IMAGE_INVALID,
                "the image has no kernel",
                hint="name one under `kernel: package:` in the manifest",
            )
        words = (f"usrhash={self.root_hash}", *self.session.loaded.manifest.kernel.command_line)
        parts = UkiParts(
            kernel=tree / "side/usr/lib/modules" / release / "vmlinuz",
            initrd=self.initrd.out / "initrd",
            cmdline=" ".join(words),
            os_release=tree / "tree/usr/lib/os-release",
            uname=release,
            stub=tree / "side" / STUB,
        )
        make_uki(parts, work.out / "uki.efi", sdk_root=self.session.sdk.root)

    @cached_property
    def disk(self) -> Entry:
        """out/disk.raw: the GPT disk with slot A filled; out/esp.raw is not kept."""
        inputs = {
            "usr": self.usr.digest,
            "uki": self.uki.digest,
            "tree": self.tree.digest,
            "manifest": self.session.loaded.manifest.part_json("id", "disk"),
            "epoch": str(self.session.loaded.epoch),
        }
        return self.stage("disk", inputs, (self.tree, self.usr, self.uki), self._make_disk)

    def _make_disk(self, work: Work) -> None:
        loaded, root = self.session.loaded, self.session.sdk.root
        name, version, sizes = loaded.manifest.id, loaded.version, loaded.manifest.disk
        identity = f"{name} {version}"
        boot = BootFiles(
            self.tree.out / "tree" / LOADER, self.uki.out / "uki.efi", f"{name}_{version}+{TRIES}.efi"
        )
        work.phase("ESP")
        esp = make_esp(
            boot,
            work.scratch / "esp.raw",
            sdk_root=root,
            size=sizes.esp_size,
            epoch=loaded.epoch,
            identity=identity,
        )
        oem = make_oem(
            None,
            work.scratch / "oem.raw",
            sdk_root=root,
            size=sizes.oem_size,
            epoch=loaded.epoch,
            identity=identity,
        )
        work.phase("GPT")
        hashed = self.root_hash
        contents = Contents(
            id=name,
            version=version,
            esp=esp,
            usr=self.usr.out / "usr.raw",
            verity=self.usr.out / "usr.verity",
            usr_uuid=_half(hashed, 0),
            verity_uuid=_half(hashed, 1),
            oem=oem,
            sizes=Sizes(
                esp=sizes.esp_size,
                usr=sizes.usr_size,
                verity=sizes.verity_size,
                signature=sizes.signature_size,
                oem=sizes.oem_size,
            ),
        )
        make_disk(contents, work.out / "disk.raw", sdk_root=root, size=disk_size(sizes))

    # --- platforms -----------------------------------------------------------------

    @cached_property
    def packed(self) -> Entry:
        """out/data and out/index: the disk's data, compressed once for all platforms."""

        def run(work: Work) -> None:
            pack(self.disk.out / "disk.raw", work.out, sdk_root=self.session.sdk.root)

        return self.stage("packed", {"disk": self.disk.digest}, (self.disk,), run)

    def platforms(self, wanted: Sequence[Platform]) -> dict[str, Entry]:
        """What the platforms' own tools read, side by side; what the store has is not made again."""
        executor = self.session.executor
        stages = [self._platform(platform) for platform in wanted]
        for number, platform in enumerate(wanted):
            if platform.packs and executor.store.find(stages[number].key) is None:
                uses = (*stages[number].uses, self.packed)
                stages[number] = replace(stages[number], uses=uses)
        # a good part of a target's time is waiting: for mke2fs, for the disk
        with ThreadPoolExecutor(2 * self.session.cores, thread_name_prefix="platform") as pool:
            # those with the most files first, so that none of them is what all wait for in the end
            order = sorted(zip(wanted, stages, strict=True), key=lambda pair: -len(pair[0].outputs))
            running = {platform.name: pool.submit(executor.obtain, stage) for platform, stage in order}
            try:
                return {name: future.result() for name, future in running.items()}
            except BaseException:
                # those that run come to their end and stay in the store; no other is begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def platform(self, platform: Platform) -> Entry:
        """What one platform's own tools read, made of the disk."""
        return self.platforms([platform])[platform.name]

    def _platform(self, platform: Platform) -> Stage:
        manifest = self.session.loaded.manifest
        settings = manifest.platforms.get(platform.name)
        inputs = {
            "disk": self.disk.digest,
            "settings": settings.model_dump_json() if settings else "",
            "manifest": manifest.part_json("id", "name"),
        }

        def run(work: Work) -> None:
            context = Context(
                id=manifest.id,
                name=manifest.name,
                version=self.session.loaded.version,
                sdk_root=self.session.sdk.root,
                epoch=self.session.loaded.epoch,
                settings=settings.model_dump() if settings else {},
            )
            packed = self.packed.out if platform.packs else None
            platform.emit(
                self.disk.out / "disk.raw",
                context,
                work.out,
                Packed(packed / "data", packed / "index") if packed else None,
            )

        return self.prepare(f"image:{platform.name}", inputs, (self.disk,), run)


def _asked_for(atoms: Sequence[str], name: str) -> bool:
    """Whether one of the manifest's atoms (with or without operator and version) means a package."""
    for atom in atoms:
        plain = atom.lstrip("<>=~").split(":")[0].split("[")[0]
        if plain == name or (plain.startswith(f"{name}-") and plain[len(name) + 1 :][:1].isdigit()):
            return True
    return False


def _half(root_hash: str, which: int) -> UUID:
    """The partition UUID that is half of a root hash (Discoverable Partitions Specification)."""

    return UUID(root_hash[32 * which : 32 * which + 32])


def _compression(usr: Usr) -> ErofsSettings:
    algorithm, _, level = usr.compression.partition(",")
    return ErofsSettings(algorithm, int(level) if level else None, usr.cluster_size)


def _manifest_files(session: Session) -> tuple[ExtraFile, ...]:
    """What the manifest adds; /etc becomes the image's factory default."""
    return tuple(
        ExtraFile(item.path, item.source.path if item.source else None, item.content, mode=item.mode)
        for item in session.loaded.manifest.files
    )


def _accounts(session: Session) -> tuple[ExtraFile, ...]:
    """The manifest's users, groups and locale as the files in which systemd wants them."""
    manifest = session.loaded.manifest
    lines = [f"g {group.name} {group.id}\n" for group in manifest.groups]
    for user in manifest.users:
        lines.append(f'u {user.name} {user.id} "{user.name}" {user.home} {user.shell}\n')
        lines += [f"m {user.name} {group}\n" for group in user.groups]
    files = []
    if lines:
        files.append(ExtraFile("usr/lib/sysusers.d/90-manifest.conf", text="".join(lines)))
    if manifest.locales:
        files.append(ExtraFile("etc/locale.conf", text=f"LANG={manifest.locales[0]}\n"))
    return tuple(files)
