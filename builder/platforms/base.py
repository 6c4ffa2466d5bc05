"""Platforms: the shape that all of them have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builder.errors import Code, ColvertError
from builder.formats.gpt import OEM_LABEL, copy_disk, find_partition
from builder.formats.oem import make_oem

TEMPLATES = Path(__file__).parent / "templates"
# Templates below this folder become the files of the OEM partition.
OEM_FOLDER = "oem"


@dataclass(frozen=True)
class Context:
    """What a platform may know of the image; `settings` are the manifest's for this platform."""

    id: str
    name: str
    version: str
    sdk_root: Path
    epoch: int
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One call of a platform: the disk (its OEM partition filled), and where the results go."""

    platform: str
    disk: Path
    context: Context
    out: Path
    stem: str

    def file(self, suffix: str) -> Path:
        """The path of an output: `ID-VERSION-PLATFORM` and what the platform puts after it."""
        return self.out / f"{self.stem}{suffix}"

    def write(self, suffix: str, template: str, *, mode: int = 0o644, **values: object) -> Path:
        """Render a template of the platform to an output."""
        path = self.file(suffix)
        path.write_text(render(self.platform, template, self.context, stem=self.stem, **values))
        path.chmod(mode)
        return path


@dataclass(frozen=True)
class Platform:
    """A place where the disk runs. `outputs` are the ends of the names of the files it makes."""

    name: str
    description: str
    outputs: tuple[str, ...]
    make: Callable[[Job], None]

    def files(self, context: Context) -> tuple[str, ...]:
        """The names of all files that `emit` makes."""
        return tuple(f"{self.stem(context)}{suffix}" for suffix in self.outputs)

    def stem(self, context: Context) -> str:
        """What the names of all outputs start with."""
        return f"{context.id}-{context.version}-{self.name}"

    def emit(self, disk: Path, context: Context, out_dir: Path) -> None:
        """Write all outputs for `disk` to `out_dir`: these and nothing else."""
        out_dir.mkdir(parents=True, exist_ok=True)
        before = set(out_dir.iterdir())
        own = out_dir / f".{self.name}.raw"
        try:
            self._fill_oem(disk, context, own)
            self.make(Job(self.name, own, context, out_dir, self.stem(context)))
        finally:
            own.unlink(missing_ok=True)
        made = {path.name for path in set(out_dir.iterdir()) - before}
        if made != set(self.files(context)):
            raise ColvertError(
                Code.IMAGE_INVALID,
                f"the platform {self.name} made {sorted(made)}, not {sorted(self.files(context))}",
            )

    def _fill_oem(self, disk: Path, context: Context, out: Path) -> None:
        """Copy the disk with this platform's OEM partition in the place of the empty one."""
        start, size = find_partition(disk, OEM_LABEL, sdk_root=context.sdk_root)
        content, image = out.with_suffix(".oem"), out.with_suffix(".oem.raw")
        folder = TEMPLATES / self.name / OEM_FOLDER
        names = sorted(path.name for path in folder.glob("*.j2"))
        try:
            content.mkdir()
            content.chmod(0o755)
            for name in names:
                file = content / name.removesuffix(".j2")
                file.write_text(render(self.name, f"{OEM_FOLDER}/{name}", context, stem=self.stem(context)))
                file.chmod(0o644)
            make_oem(
                content, image, sdk_root=context.sdk_root, size=size, epoch=context.epoch,
                identity=f"{context.id} {context.version} {self.name}",
            )  # fmt: skip
            copy_disk(disk, out, {start: (image, size)})
        finally:
            image.unlink(missing_ok=True)
            for file in content.glob("*"):
                file.unlink()
            content.rmdir()


def render(platform: str, template: str, context: Context, **values: object) -> str:
    """A template of a platform as text; a name that nobody gave is an error, not an empty string."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / platform),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    return environment.get_template(template).render(context=context, **values)
