"""Digest: a package's Manifest written from the sources that its ebuilds name."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from builder.build.session import Session
from builder.errors import Code, ColvertError
from builder.packages.fetch import Fetcher, manifest_line
from builder.packages.plan import make_plan


def write_manifest(session: Session, package: str) -> Path:
    """Fetch the sources of CATEGORY/NAME and write its Manifest; the old one stands until then."""
    if not re.fullmatch(r"[\w+-]+/[\w+-]+", package):
        raise ColvertError(Code.UNKNOWN_PACKAGE, f"{package} is not CATEGORY/NAME")
    plan, _ = make_plan(session.executor, (package,), session.settings)
    node = plan.find(package)
    overlay = next(item for item in session.settings.overlays if item.name == node.repository)
    fetcher = Fetcher(session.home.distfiles, session.sdk.mirror, session.events, session.mirrors)
    lines = []
    for name, uris in sorted(node.distfiles.items()):
        with tempfile.TemporaryDirectory(dir=session.home.cache) as scratch:
            source = fetcher.trust(name, tuple(uris), Path(scratch))
            lines.append(f"{manifest_line(name, source)}\n")
    target = (overlay.path / node.ebuild).parent / "Manifest"
    part = target.with_name(".Manifest.part")
    part.write_text("".join(lines))
    part.replace(target)
    return target
