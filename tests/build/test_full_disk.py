"""A disk that fills up during a build: a real one, a tmpfs in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from builder.errors import Code
from tests.build.conftest import Workshop

SCRIPT = """
import json, os, sys
from pathlib import Path
from builder.errors import ColvertError
from builder.pipeline.store import Store
from builder.sandbox.home import open_home
from builder.sandbox.sdk import Sdk
from tests.build.conftest import Workshop
home, root, identity, overlay = sys.argv[1:]
place = open_home(Path(home))
filler = Path(home) / "store/filler"
with filler.open("wb") as stream:
    os.posix_fallocate(stream.fileno(), 0, 592 << 20)
def build(atom):
    try:
        Workshop(place, Sdk(Path(root), identity), Path(overlay)).build(atom)
    except ColvertError as error:
        return error.code
    except OSError as error:
        return f"errno {error.errno}"
    return "built"
def stored():
    store = Store(Path(home) / "store")
    entries = [entry for entry in store.entries() if entry.record.stage == "package"]
    for entry in entries:
        store.check(entry.artifact)
    return sorted(entry.record.label for entry in entries)
said = [build("app-misc/small"), build("app-misc/large"), stored()]
left = sorted(path.name for path in (Path(home) / "store/tmp").iterdir())
filler.unlink()
print(json.dumps([*said, left, build("app-misc/large"), stored()]))
"""


def on_tmpfs(place: Path, words: list[str]) -> list[str]:
    """A command that finds a file system of 640 MiB at `place`, and is whoever we are."""
    mount = f"mount -t tmpfs -o size=640m,mode=0755 tmpfs {place}"
    if os.geteuid() == 0:
        return ["unshare", "--mount", "sh", "-ec", f'{mount}; exec "$@"', "sh", *words]
    # bubblewrap refuses to run with capabilities: root of one namespace mounts, in another we are ourselves
    back = f"exec unshare --user --map-user={os.getuid()} --map-group={os.getgid()}"
    script = f'{mount}; {back} "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh", *words]


def test_a_full_disk_loses_nothing(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/small-1", "src_install() { :; }")
    workshop.ebuild(
        "app-misc/large-1",
        "src_compile() { dd if=/dev/urandom of=data bs=1M count=64 || die; }\n"
        "src_install() { insinto /usr/share; doins data; }",
    )
    sdk = workshop.sdk
    words = [
        sys.executable,
        "-c",
        SCRIPT,
        str(workshop.home.root),
        str(sdk.root),
        sdk.id,
        str(workshop.overlay),
    ]
    done = subprocess.run(
        on_tmpfs(workshop.home.root, words),
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    first, full, kept, left, again, whole = json.loads(done.stdout.splitlines()[-1])
    assert first == "built"
    assert full in (Code.PACKAGE_FAILED, Code.NO_SPACE, "errno 28")
    assert kept == ["app-misc/small-1"]
    assert left == []
    assert again == "built"
    assert whole == ["app-misc/large-1", "app-misc/small-1"]
