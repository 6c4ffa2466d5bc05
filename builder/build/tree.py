"""Tree: binary packages -> the assembled /usr of one image.

The first of the stages after the packages, and the shape of all of them: each is keyed by what it
reads of the manifest, by what it consumes and by the code that does it; a function of `formats/`
does the work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from builder.assembly.presets import UnitRules
from builder.assembly.rules import ExtraFile, TreeRules, assemble
from builder.assembly.tree import PackageImage
from builder.build.session import Session
from builder.build.trusted_keys import machine_settings, ring
from builder.packages.builder import gives
from builder.packages.portage.config import Settings
from builder.pipeline.key import digest_file, digest_value
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import Entry
from builder.updates.keys import DEVELOPMENT

VERSION = 1


@dataclass
class Trees:
    """The tree of the packages, made when it is first asked for."""

    session: Session
    packages: dict[str, Entry]

    @cached_property
    def code(self) -> str:
        """Digest of the code that makes images, so that no stale result survives a change of it."""
        return self.code_of("formats", "platforms")

    def code_of(self, *rooms: str) -> str:
        """Digest of the code of some rooms."""
        root = Path(__file__).parents[1]
        files = [path for name in rooms for path in sorted((root / name).rglob("*"))]
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
        names = ("id", "name", "files", "units", "users", "groups", "locales", "keys.release")
        settings = ("source", "channel", "keys", "reboot", "window_start", "window_length", "rate", "kexec")
        inputs = {
            "commit": self._commit(),
            "ring": digest_value({name: key.id for name, key in ring(self.session).items()}),
            "manifest": manifest.part_json(*names, *(f"update.{name}" for name in settings)),
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
        if self._commit():
            release["BUILD_ID"] = self._commit()
        if manifest.keys.release == DEVELOPMENT:
            # whoever has the checkout can sign what such an image takes
            release["COLVERT_KEYS"] = DEVELOPMENT
        units = UnitRules(manifest.units.enable, manifest.units.disable, manifest.units.mask)
        return TreeRules(
            os_release=release,
            epoch=loaded.epoch,
            files=(*_manifest_files(self.session), *_accounts(self.session)),
            units=units,
            licence_texts=licence_texts(self.session.settings),
            update=machine_settings(manifest.update),
            ring={name: key.pem for name, key in ring(self.session).items()},
        )

    def _commit(self) -> str:
        """The commit that the image is, if it is one."""
        loaded = self.session.loaded
        return "" if loaded.dirty else loaded.commit


def _asked_for(atoms: Sequence[str], name: str) -> bool:
    """Whether one of the manifest's atoms (with or without operator and version) means a package."""
    for atom in atoms:
        plain = atom.lstrip("<>=~").split(":")[0].split("[")[0]
        if plain == name or (plain.startswith(f"{name}-") and plain[len(name) + 1 :][:1].isdigit()):
            return True
    return False


def licence_texts(settings: Settings) -> dict[str, Path]:
    """Where the text of each licence is; the first overlay that has it counts."""
    return {
        path.name: path
        for overlay in reversed(settings.overlays)
        if (overlay.path / "licenses").is_dir()
        for path in sorted((overlay.path / "licenses").iterdir())
    }


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
