"""The image's own programs, started on the host."""

from __future__ import annotations

from pathlib import Path

from builder.build.session import Session
from builder.packages.package import IMAGE


def programs_of(session: Session, package: str) -> tuple[list[str], Path]:
    """How the programs of a package start on the host, with its own loader and libraries; and its files."""
    built = session.build_packages([package])
    node = session.plan.find(package)
    images = {cpv: session.store.path(entry.part(IMAGE)) for cpv, entry in built.items()}
    libraries = [images[cpv] / "usr/lib" for cpv in session.plan.sysroot(node.cpv)]
    [loader] = [path for folder in libraries for path in folder.glob("ld-linux-x86-64.so.2")]
    start = [str(loader), "--library-path", ":".join(str(path) for path in libraries)]
    return start, images[node.cpv]
