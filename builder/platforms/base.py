"""Base types of platforms: `Platform`, the `Job` that makes its files, the `Context` of templates."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from builder.arch import Architecture
from builder.errors import Code, ColvertError
from builder.formats.chunk import Piece
from builder.formats.content import Content, open_content, open_plain, save
from builder.formats.gpt import OEM_LABEL
from builder.formats.table import partition, resized
from builder.pipeline.key import digest_file
from builder.quantities import GIB, MIB, Count, Memory, PartitionSize
from builder.tools.oem import make_oem
from builder.tools.pack import pack, packed_in

TEMPLATES = Path(__file__).parent / "templates"
# Templates below this folder become the files of the OEM partition.
OEM_FOLDER = "oem"


class Need(StrEnum):
    """What a platform's files are made of: artifacts of the image, each called as the job that makes it."""

    DISK = "disk"
    # the disk's data, compressed once for all platforms
    PACKED = "packed"


# A platform with more settings brings a model below this one.
class Settings(BaseModel):
    """What a platform's machine has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    memory: Memory = GIB
    """Memory of the machine."""
    cpus: Count = 2
    """Processors of the machine."""
    disk_size: PartitionSize | None = None
    """Size of its disk, which holds all partitions; left out, 8 GiB, or more where they need it."""


@dataclass(frozen=True)
class Context:
    """What a platform may know of the image; `settings` are the manifest's for this platform."""

    architecture: Architecture = field(kw_only=True)
    id: str
    name: str
    version: str
    sdk_root: Path
    epoch: int
    settings: Settings = field(default_factory=Settings)

    @property
    def memory(self) -> int:
        """MiB of memory of the machine."""
        return self.settings.memory // MIB

    @property
    def cpus(self) -> int:
        """Processors of the machine."""
        return self.settings.cpus

    @property
    def disk_size(self) -> int | None:
        """Bytes of the machine's disk, where they are not those of the disk that was built."""
        return self.settings.disk_size


@dataclass(frozen=True)
class Job:
    """One call of a platform: the disk (its OEM partition filled), and where the results go."""

    platform: str
    content: Content
    context: Context
    out: Path
    stem: str

    def file(self, suffix: str) -> Path:
        """The path of an output: `ID-VERSION-PLATFORM` and what the platform puts after it."""
        return self.out / f"{self.stem}{suffix}"

    def text(self, template: str, **values: object) -> str:
        """Render a template of the platform."""
        return render(
            self.platform,
            template,
            self.context,
            stem=self.stem,
            disk_bytes=self.content.size,
            disk_gib=-(-self.content.size // GIB),
            **values,
        )

    def write(self, suffix: str, template: str, *, mode: int = 0o644, **values: object) -> Path:
        """Render a template of the platform to an output."""
        path = self.file(suffix)
        path.write_text(self.text(template, **values))
        path.chmod(mode)
        return path

    def save(self, suffix: str, pieces: Iterable[Piece]) -> Path:
        """Write pieces of a format to an output."""
        return save(pieces, self.file(suffix))

    def sha256(self, suffix: str) -> str:
        """The digest of an output that was written."""
        return digest_file(self.file(suffix))


@dataclass(frozen=True)
class Platform:
    """A place where the disk runs. `outputs` are the ends of the names of the files it makes.

    `unit` is what the size of a disk has to be a multiple of there; `needs` is what `emit` is given.
    """

    name: str
    description: str
    outputs: tuple[str, ...]
    make: Callable[[Job], None]
    unit: int = MIB
    needs: tuple[Need, ...] = (Need.DISK, Need.PACKED)
    settings: type[Settings] = Settings

    @property
    def module(self) -> str:
        """The module of the platform."""
        return self.make.__module__

    def files(self, context: Context) -> tuple[str, ...]:
        """The names of all files that `emit` makes."""
        return tuple(f"{self.stem(context)}{suffix}" for suffix in self.outputs)

    def stem(self, context: Context) -> str:
        """What the names of all outputs start with."""
        return f"{context.id}-{context.version}-{self.name}"

    def emit(self, given: Mapping[Need, Path], context: Context, out_dir: Path) -> None:
        """Write all outputs to `out_dir`: these and nothing else.

        `given` has what the platform needs; a disk without its packed data is packed here.
        """
        out_dir.mkdir(parents=True, exist_ok=True)
        before = set(out_dir.iterdir())
        scratch = Path(tempfile.mkdtemp(prefix=f".{self.name}.", dir=out_dir))
        scratch.chmod(0o755)
        try:
            content = self._content(given, context, scratch)
            own = self._own(content, context, scratch)
            self.make(Job(self.name, own, context, out_dir, self.stem(context)))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        made = {path.name for path in set(out_dir.iterdir()) - before}
        if made != set(self.files(context)):
            raise ColvertError(
                Code.IMAGE_INVALID,
                f"the platform {self.name} made {sorted(made)}, not {sorted(self.files(context))}",
            )

    def _content(self, given: Mapping[Need, Path], context: Context, scratch: Path) -> Content:
        disk = given[Need.DISK]
        if Need.PACKED not in self.needs:
            return open_plain(disk)
        if Need.PACKED in given:
            return open_content(disk, packed_in(given[Need.PACKED]))
        return open_content(disk, pack(disk, scratch, sdk_root=context.sdk_root))

    def _own(self, content: Content, context: Context, scratch: Path) -> Content:
        """The disk with this platform's OEM partition in the place of the empty one, and its size."""
        place = partition(content, OEM_LABEL)
        folder, image = scratch / "oem", scratch / "oem.raw"
        write_oem(self.name, context, folder)
        make_oem(
            folder, image, sdk_root=context.sdk_root, size=place.size, epoch=context.epoch,
            identity=f"{context.id} {context.version} {self.name}",
        )  # fmt: skip
        over = content.over({(place.start, place.size): open_plain(image)})
        return resized(over, context.disk_size or content.size)


def write_oem(platform: str, context: Context, folder: Path) -> None:
    """Write the files of a platform's OEM partition."""
    templates = TEMPLATES / platform / OEM_FOLDER
    for template in sorted(templates.rglob("*.j2")):
        name = template.relative_to(templates)
        file = folder / name.with_suffix("")
        for parent in reversed(name.parents):
            (folder / parent).mkdir(parents=True, exist_ok=True)
            (folder / parent).chmod(0o755)
        file.write_text(render(platform, f"{OEM_FOLDER}/{name}", context))
        file.chmod(0o644)


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
