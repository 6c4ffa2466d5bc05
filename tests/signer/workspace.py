"""Workspace of a project that builds and attaches, and the machine that holds its keys and signs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.build.image import build_images
from builder.build.session import Request, open_session
from builder.pipeline.events import Events
from builder.signing.trust import read_trust
from builder.tools.zstd import expand
from builder.updates.contents import REQUEST
from builder.verify.release import Verifier
from tests.conftest import ROOT
from tests.releases import Variant
from tests.signer.root import HOME, SignerMachine

PIN = "1234"
KEYS = {"usr": "verity", "secure_boot": "db", "release": "release"}
POLICY = """
image_ids: [colvert]
keys:
  db: {items: [uki, loader]}
  verity: {items: [usr-root-hash]}
  release: {items: [update-index, provenance, release-index]}
state: signed.json
"""
TOKEN = f"""
mkdir -p tokens
printf 'directories.tokendir = {HOME}/tokens\\nobjectstore.backend = file\\n' > softhsm2.conf
softhsm2-util --init-token --free --label acme --pin {PIN} --so-pin {PIN} > /dev/null
"""
IMPORT = f"""
softhsm2-util --import keys/db.key --token acme --label db --id 01 --pin {PIN} > /dev/null
softhsm2-util --import keys/verity.key --token acme --label verity --id 02 --pin {PIN} > /dev/null
softhsm2-util --import keys/release.key --token acme --label release --id 03 --pin {PIN} > /dev/null
find keys -name '*.key' -delete
"""


@dataclass(frozen=True)
class Desk:
    """Where releases are built, and the machine that signs; it has keys in files, or in a token."""

    work: Path
    machine: SignerMachine
    sdk_root: Path
    token: bool = False

    @property
    def keys(self) -> Path:
        """On the machine that signs. The trust root is there too, as a user's own copy would be here."""
        return self.machine.home / "keys"

    def open_keys(self) -> None:
        """Let the machine that signs have what is in its home; private halves may go into a token."""
        (self.keys / "policy.yaml").write_text(POLICY)
        subprocess.run(["chmod", "-R", "a+rwX", self.machine.home], check=True)
        if self.token:
            self.machine.run(TOKEN + IMPORT)
            assert not list(self.machine.home.rglob("*.key"))

    def build(
        self, name: str, variant: Variant, targets: Sequence[str], deltas_from: Sequence[Path] = ()
    ) -> Path:
        """A release that waits for its keys, as build-image leaves it."""
        place = self.work / name
        place.mkdir(exist_ok=True)
        update = {"keys": [str(self.keys / "release.pem")], **variant.manifest.get("update", {})}
        whole = Variant(variant.version, variant.files, {"keys": KEYS, "update": update}, variant.epoch)
        request = Request(whole.write(place), state=self.work / "state")
        return build_images(open_session(request, Events()), targets, place / "out", deltas_from)

    def sign(self, release: Path, *names: str) -> Path:
        """On the other machine: the request goes there, the signatures come back, and nothing else."""
        shutil.copy(release / REQUEST, self.machine.home / REQUEST)
        words = [word for name in names for word in self._key(name)]
        env = {"COLVERT_PKCS11_PIN": PIN} if self.token else {}
        script = 'colvert-sign request.json --policy keys/policy.yaml --out made.json --yes "$@"'
        self.machine.run(script, *words, env=env)
        return self.bring(release.parent.parent / f"{names[0]}.json")

    def _key(self, name: str) -> list[str]:
        if not self.token:
            return ["--key", f"{name}=keys/{name}.key"]
        certificate = ["--cert", f"{name}=keys/{name}.crt"] if (self.keys / f"{name}.crt").exists() else []
        return ["--key", f"{name}=pkcs11:token=acme;object={name}", *certificate]

    def bring(self, to: Path) -> Path:
        return Path(shutil.copy(self.machine.home / "made.json", to))

    def attach(self, release: Path, *files: Path) -> subprocess.Popen[str]:
        words = ["attach", str(release), *map(str, files), "--trust", str(self.keys), "--quiet"]
        script = "from builder.cli.main import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", script, *words], cwd=ROOT, text=True, stderr=subprocess.PIPE
        )

    def attached(self, release: Path, *files: Path) -> None:
        child = self.attach(release, *files)
        said = child.communicate()[1]
        assert child.returncode == 0, said

    def signed(self, release: Path) -> Path:
        """Both rounds, as docs/howto/sign-a-release.md goes through them."""
        self.attached(release, self.sign(release, "db", "verity"))
        self.attached(release, self.sign(release, "release"))
        return release

    def verifier(self, release: Path) -> Verifier:
        def reachable(source: Path, out: Path, limit: int) -> Path:
            out.parent.chmod(0o755)
            return expand(source, out, sdk_root=self.sdk_root, limit=limit)

        return Verifier(release, read_trust([self.keys]), reachable)
