"""Release checked against the trust root, all of it that needs no build."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import Certificate

from builder.errors import Code, ColvertError, Location, raise_all
from builder.formats.hashtree import check_tree
from builder.pipeline.key import digest_bytes, digest_file
from builder.signing import authenticode
from builder.signing.boot_signatures import LOADER_ITEM, UKI_ITEM, USR_ROOT_HASH
from builder.signing.pkcs7 import signers
from builder.signing.request import from_base64
from builder.signing.trust import Known, Trust, envelope_signers, key_id, root_hash
from builder.tools.verity import signature_partition
from builder.updates import contents
from builder.updates import index as update
from builder.updates.contents import (
    BOOT,
    FILE,
    PROVENANCE,
    PROVENANCE_TYPE,
    RELEASE_INDEX,
    UPDATE_INDEX,
    Contents,
    Enveloped,
    Listed,
    parse_contents,
)
from builder.updates.dsse import parse
from builder.updates.expiry import date, is_past
from builder.updates.index import Index, parse_index
from builder.updates.keys import DEVELOPMENT
from builder.updates.parts import SIGNATURE
from builder.updates.statement import parse_statement

# a frame, the file that it becomes, and the most bytes that this may have
Expand = Callable[[Path, Path, int], Path]
ROOT_HASH = f"{BOOT}/{contents.ROOT_HASH}"
ROOT_HASH_SIGNATURE = f"{BOOT}/{contents.ROOT_HASH_SIGNATURE}"
VERITY_SIGNATURE = f"{BOOT}/{contents.VERITY_SIGNATURE}"
# what a policy's `items` calls the envelopes
ITEMS = {update.PAYLOAD_TYPE: UPDATE_INDEX, PROVENANCE_TYPE: PROVENANCE}
FINGERPRINT = re.compile(rb'"certificateFingerprint":"([0-9a-f]{64})"')
USRHASH = re.compile(rb"(?:^|\s)usrhash=(\S*)")


@dataclass
class Report:
    """Passed checks, and errors."""

    held: list[str] = field(default_factory=list)
    errors: list[ColvertError] = field(default_factory=list)

    def ok(self, what: str) -> None:
        self.held.append(what)

    def bad(self, path: str, why: str) -> None:
        self.errors.append(ColvertError(Code.RELEASE_INVALID, why, where=Location(path)))

    def run(self, path: str, check: Callable[[], str]) -> None:
        """Run a check, which returns its result or fails."""
        try:
            self.ok(f"{path}: {check()}")
        except ColvertError as error:
            self.errors.append(error.but(where=Location(path)))
        except (FileNotFoundError, NotADirectoryError):
            self.bad(path, "file is missing")


@dataclass
class Verifier:
    """A release directory, and the trust root."""

    place: Path
    trust: Trust
    expand: Expand
    report: Report = field(default_factory=Report)
    whole: dict[str, Listed] = field(default_factory=dict)
    """Files that match the index, by path; others are not opened."""

    def run(self) -> Report:
        """Check all of it; a release without a believable index is not looked at further."""
        index = self.index()
        self.whole = {one.path: one for one in index.files if self._file(one.path, one.size, one.sha256)}
        self.report.ok(f"{len(self.whole)} of {len(index.files)} files match the index")
        self._foreign(index)
        for path in (index.uki, index.loader):
            self._inside(index, path, partial(self._program, index, path))
        self._inside(index, index.uki, lambda: _names_root_hash(self.place / index.uki, index))
        self._inside(index, ROOT_HASH, lambda: self._root_hash(index))
        self._signature_partition(index)
        for one in index.envelopes:
            self.report.run(one.path, partial(self._envelope, index, one))
        return self.report

    def _inside(self, index: Contents, path: str, check: Callable[[], str]) -> None:
        """What a file holds; one that was refused is not opened again."""
        if path in self.whole:
            self.report.run(path, check)
        elif path not in {one.path for one in index.files}:
            self.report.bad(path, "not listed in the index")

    def index(self) -> Contents:
        """The release index, signed by keys of the trust root."""
        path = self.place / FILE
        if not path.exists():
            what = "no release index: the release is not signed"
            raise ColvertError(Code.RELEASE_INVALID, what, where=Location(str(path)))
        try:
            data = read_regular(path, contents.MAX_SIZE)
            payload, text = self._opened(data, contents.PAYLOAD_TYPE, self.trust.bare(), "")
        except ColvertError as error:
            raise error.but(where=Location(str(path))) from error
        index = parse_contents(payload, path)
        # who signs releases of this name is said inside; it has to be them
        _, text = self._opened(data, contents.PAYLOAD_TYPE, self._release_keys(index), index.keys.release)
        self._known(index.keys.release, RELEASE_INDEX)
        images = self.trust.policy.image_ids
        if images and index.image_id not in images:
            what = f"the policy of the trust root does not allow the image {index.image_id}"
            raise ColvertError(Code.POLICY, what, where=Location(str(path)))
        self.report.ok(f"{FILE}: {index.image_id} {index.version}, {text}")
        return index

    def _release_keys(self, index: Contents) -> list[Known]:
        return self.trust.bare(index.keys.release)

    def _opened(self, data: bytes, payload_type: str, known: list[Known], name: str) -> tuple[bytes, str]:
        """The payload of an envelope that enough of the known keys signed."""
        envelope = parse(data)
        if envelope.to_bytes() != data:
            raise ColvertError(Code.RELEASE_INVALID, "the envelope is not in canonical form")
        if envelope.payload_type != payload_type:
            raise ColvertError(
                Code.RELEASE_INVALID, f"unexpected payload type {envelope.payload_type[:80]!r}"
            )
        try:
            payload = from_base64(envelope.payload)
            given = {one.keyid: from_base64(one.sig) for one in envelope.signatures}
        except ValueError as error:
            raise ColvertError(Code.RELEASE_INVALID, f"not a signed envelope: {error}") from error
        found = envelope_signers(payload_type, payload, given.values(), known)
        revoked = sorted(set(given) & self.trust.revoked)
        _enough(len(found), self.trust.policy.threshold(name), "signed by", revoked)
        if not found <= set(given):
            raise ColvertError(Code.SIGNATURE_INVALID, "a signature has the wrong key id")
        strangers = ", ".join(sorted(key[:16] for key in set(given) - found))
        if strangers:
            self.report.ok(f"note: also signed by {strangers}, not in the trust root")
        return payload, f"signed by {_names(known, found)}"

    def _file(self, name: str, size: int, sha256: str) -> bool:
        path = self.place / name
        if not path.is_file() or path.is_symlink():
            self.report.bad(name, "file is missing")
        elif path.stat().st_size != size:
            self.report.bad(name, f"{path.stat().st_size} bytes, not {size}")
        elif digest_file(path) != sha256:
            self.report.bad(name, "SHA-256 mismatch")
        else:
            return True
        return False

    def _foreign(self, index: Contents) -> None:
        known = {one.path for one in index.files} | {one.path for one in index.envelopes}
        for name in contents.paths(self.place):
            if name not in known:
                self.report.bad(name, "not part of the release")

    def _known(self, name: str, item: str) -> None:
        """Where a policy names keys, no other counts: not a checkout's either."""
        keys = self.trust.policy.keys
        if keys and name not in keys:
            raise ColvertError(Code.POLICY, f"the policy of the trust root does not allow the key {name}")
        if keys and keys[name].items and item not in keys[name].items:
            what = f"the policy of the trust root does not allow the key {name} for {item}"
            raise ColvertError(Code.POLICY, what)

    def _program(self, index: Contents, path: str) -> str:
        pe = authenticode.parse_pe((self.place / path).read_bytes())
        name = index.keys.secure_boot
        self._known(name, UKI_ITEM if path == index.uki else LOADER_ITEM)
        if name == DEVELOPMENT:
            return "not signed for Secure Boot (a development build)"
        known = self.trust.certificates(name)
        found = {key_id(one) for one in authenticode.signed_by(pe, known)}
        _enough(len(found), self.trust.policy.threshold(name), "Authenticode signature by", [name])
        return f"Authenticode signature by {_names(self.trust.named(name), found)}"

    def _root_hash(self, index: Contents) -> str:
        if (self.place / ROOT_HASH).read_bytes() != index.root_hash.encode():
            raise ColvertError(Code.RELEASE_INVALID, "the root hash differs from the index")
        name = index.keys.usr
        self._known(name, USR_ROOT_HASH)
        if name == DEVELOPMENT:
            return "the root hash is not signed (a development build)"
        if ROOT_HASH_SIGNATURE not in self.whole:
            raise ColvertError(Code.RELEASE_INVALID, "the signature of the root hash is missing")
        found = {key_id(one) for one in self._root_hash_signers(index)}
        _enough(len(found), self.trust.policy.threshold(name), "PKCS#7 signature by", [name])
        return f"PKCS#7 signature of the root hash by {_names(self.trust.named(name), found)}"

    def _root_hash_signers(self, index: Contents) -> list[Certificate]:
        data, known = (self.place / ROOT_HASH_SIGNATURE).read_bytes(), self.trust.certificates(index.keys.usr)
        return signers(data, root_hash(index.root_hash), known)

    def _signature_partition(self, index: Contents) -> None:
        """What machines get of the root hash's signature: the very one that was checked."""
        if index.keys.usr != DEVELOPMENT:
            self._inside(index, VERITY_SIGNATURE, partial(self._partition, index))
        elif VERITY_SIGNATURE in {one.path for one in index.files}:
            self.report.bad(VERITY_SIGNATURE, "unexpected signature: the release's root hash is not signed")

    def _partition(self, index: Contents) -> str:
        data = (self.place / VERITY_SIGNATURE).read_bytes()
        given = FINGERPRINT.search(data)
        digits = given[1].decode() if given else ""
        if ROOT_HASH_SIGNATURE not in self.whole or data != signature_partition(
            index.root_hash, digits, (self.place / ROOT_HASH_SIGNATURE).read_bytes()
        ):
            what = f"it does not contain the root hash and {ROOT_HASH_SIGNATURE}"
            raise ColvertError(Code.RELEASE_INVALID, what)
        if digits in _fingerprints(self._root_hash_signers(index)):
            return f"{ROOT_HASH_SIGNATURE}, for a partition"
        if digits in _fingerprints(self.trust.certificates(index.keys.usr)):
            what = "it contains the certificate of a key that did not sign the root hash"
            raise ColvertError(Code.SIGNATURE_INVALID, what)
        return f"{ROOT_HASH_SIGNATURE}, and the certificate {digits[:16]}, not in the trust root"

    def _envelope(self, index: Contents, one: Enveloped) -> str:
        limit = update.MAX_SIZE if one.payload_type == update.PAYLOAD_TYPE else contents.MAX_SIZE
        data = read_regular(self.place / one.path, limit)
        if one.payload_type not in ITEMS:
            raise ColvertError(Code.RELEASE_INVALID, f"unexpected payload type {one.payload_type!a}")
        self._known(index.keys.release, ITEMS[one.payload_type])
        known = self._release_keys(index)
        payload, text = self._opened(data, one.payload_type, known, index.keys.release)
        if one.payload_type == update.PAYLOAD_TYPE:
            made = parse_index(payload, self.place / one.path)
            if _identity(made) != _identity(index):
                what = f"it describes {made.image_id} {made.version} for {made.architecture}"
                raise ColvertError(Code.RELEASE_INVALID, what)
        if digest_bytes(payload) != one.sha256:
            raise ColvertError(Code.RELEASE_INVALID, "its content does not match the index")
        if one.payload_type == PROVENANCE_TYPE:
            self._subjects(index, payload)
        elif one.path.endswith("/index.json"):
            self._update(made, index)
        return text

    def _subjects(self, index: Contents, payload: bytes) -> None:
        """What a statement is about are files of this release."""
        statement, files = parse_statement(payload, self.place / "provenance.json"), contents.described(index)
        if (statement.image_id, statement.version) != (index.image_id, index.version):
            what = f"it describes {statement.image_id} {statement.version[:80]!a}"
            raise ColvertError(Code.RELEASE_INVALID, what)
        given = {one.name: one.digest.sha256 for one in statement.subject}
        for name, digest in given.items():
            if name in files:
                held = digest == files[name]
            else:
                row = name in {one.path for one in index.envelopes}
                held = row and digest_bytes(read_regular(self.place / name, contents.MAX_SIZE)) == digest
            if not held:
                raise ColvertError(Code.RELEASE_INVALID, f"{name[:80]!a} differs from the release")
        if index.uki not in given:
            raise ColvertError(Code.RELEASE_INVALID, f"{index.uki} is not among its subjects")

    def _update(self, made: Index, index: Contents) -> None:
        """The update files become the release's /usr and UKI."""
        folder = self.place / "update"
        if (SIGNATURE in made.parts) != (VERITY_SIGNATURE in self.whole):
            self.report.bad(
                "update/index.json", f"{VERITY_SIGNATURE} must be in both update and release, or in neither"
            )
        for name, part in made.parts.items():
            for file in part.files:
                self._inside(index, f"update/{file.name}", partial(self._row, file, name))
        with TemporaryDirectory(prefix="colvert-verify-") as work:
            for name, part in made.parts.items():
                check = partial(self._part, folder, name, part, Path(work), index)
                self._inside(index, f"update/{part.whole.name}", check)
            usr, tree = Path(work) / "usr", Path(work) / "verity"
            if usr.is_file() and tree.is_file():
                self.report.run("usr", partial(_tree, usr, tree, index))
        note = " (expired: machines refuse it)" if is_past(made.expires) else ""
        self.report.ok(
            f"update index: for machines from {made.from_at_least} on, expires {date(made.expires)}{note}"
        )

    def _row(self, file: update.File, name: str) -> str:
        row = self.whole[f"update/{file.name}"]
        if (row.size, row.sha256) != (file.size, file.sha256):
            what = f"it differs from the file of {name} in the update index"
            raise ColvertError(Code.RELEASE_INVALID, what)
        return f"{name}, {f'from {file.origin.version}' if file.origin else 'whole'}"

    def _part(self, folder: Path, name: str, part: update.Part, work: Path, index: Contents) -> str:
        try:
            out = self.expand(folder / part.whole.name, work / name, part.size)
        except ColvertError as error:
            if error.code is not Code.COMMAND_FAILED:
                raise
            what = f"it does not decompress to the {part.size} bytes of the {name}"
            raise ColvertError(Code.RELEASE_INVALID, what, detail=error.detail) from error
        if out.stat().st_size != part.size or digest_file(out) != part.sha256:
            out.unlink()
            raise ColvertError(Code.RELEASE_INVALID, f"it does not contain the {name} of the index")
        same = index.boot_parts.get(name)
        if same and (same not in self.whole or part.sha256 != self.whole[same].sha256):
            raise ColvertError(Code.RELEASE_INVALID, f"its {name} differs from {same}")
        return f"contains the {name} of the index"


def _identity(one: Index | Contents) -> tuple[str, ...]:
    return one.image_id, one.architecture, one.version, one.root_hash


def _fingerprints(certificates: list[Certificate]) -> set[str]:
    return {one.fingerprint(SHA256()).hex() for one in certificates}


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a file that anybody may have put there: no link is followed, no pipe waited for."""
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise ColvertError(Code.RELEASE_INVALID, "not a regular file")
    if info.st_size > limit:
        raise ColvertError(Code.RELEASE_INVALID, f"larger than {limit} bytes")
    return path.read_bytes()


def _tree(usr: Path, tree: Path, index: Contents) -> str:
    wrong = check_tree(usr, tree, index.root_hash)
    if wrong:
        raise ColvertError(Code.RELEASE_INVALID, wrong)
    return f"all blocks match the root hash {index.root_hash[:16]}…"


def _names_root_hash(path: Path, index: Contents) -> str:
    """The UKI's command line names the root hash, and its os-release the version."""
    pe = authenticode.parse_pe(path.read_bytes())
    line = pe.section(".cmdline").rstrip(b"\0\n")
    if [one.decode("ascii", "replace") for one in USRHASH.findall(line)] != [index.root_hash]:
        raise ColvertError(Code.RELEASE_INVALID, "its command line does not contain the root hash")
    said = dict(_pairs(pe.section(".osrel").rstrip(b"\0").decode("utf-8", "replace")))
    if (said.get("IMAGE_ID"), said.get("IMAGE_VERSION")) != (index.image_id, index.version):
        raise ColvertError(Code.RELEASE_INVALID, "its os-release has another image id or version")
    return "command line and os-release match the release"


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, sign, value = line.partition("=")
        if sign:
            yield name, value.strip("\"'")


def _enough(have: int, need: int, what: str, names: list[str]) -> None:
    if have < need:
        who = f"{have} of {need}" if need > 1 else "no key of the trust root"
        detail = [f"about {name}" for name in names]
        raise ColvertError(Code.SIGNATURE_INVALID, f"{what} {who}", detail=detail)


def _names(known: list[Known], ids: set[str]) -> str:
    return ", ".join(sorted({one.name for one in known if one.key.id in ids}))


def verify(place: Path, trust: Trust, expand: Expand) -> Report:
    """Check a release; raises all that does not hold."""
    report = Verifier(place, trust, expand).run()
    raise_all(report.errors)
    return report
