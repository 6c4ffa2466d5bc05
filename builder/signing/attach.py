"""Signatures taken into the release that asked for them, and what the release waits for next.

State is in the release's directory, below `.signing/`: each request with the signatures that were
accepted for it. Everything is checked before anything is written, and every step can be repeated.
Whoever calls `take` holds LOCK.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError, Location
from builder.pipeline.directories import discard
from builder.signing.boot_signatures import BootSignatures, SignedRootHash
from builder.signing.phases import STATE, Build, boot_request, read_build, write, write_envelopes
from builder.signing.pkcs7 import merge
from builder.signing.request import (
    Kind,
    Request,
    Signature,
    Signatures,
    parse_request,
    parse_signatures,
    read_request,
    read_signatures,
    to_text,
)
from builder.signing.trust import Trust, root_hash
from builder.updates.contents import FILE, REQUEST
from builder.updates.keys import Signer

LOCK = f"{STATE}/lock"
# what a killed delivery leaves
_LEFT = re.compile(r"\.[a-z0-9_-]+\.[0-9a-f]{32}")


@dataclass(frozen=True)
class Missing:
    """The request that still lacks signatures, and a line for each item that does."""

    request: Request
    lines: tuple[str, ...]


@dataclass(frozen=True)
class BootSigned:
    """The request of the boot files has all its signatures: the release can be assembled with them."""

    request: Request
    signatures: BootSignatures


@dataclass(frozen=True)
class Done:
    """The release is signed."""


@dataclass(frozen=True)
class Attaching:
    """The directory of one release while signatures are taken into it."""

    place: Path
    trust: Trust
    own: Signer | None = None

    def take(self, files: Sequence[Path]) -> Missing | BootSigned | Done:
        """Accept the signatures in the files, and see how far all that were accepted lead."""
        build = read_build(self.place)
        self._tidy()
        requests, current = self._requests(), self._current()
        if current is not None:
            requests[current.digest] = current
        self._check_closed(build, current, requests.values())
        fresh = self._check(files, requests)
        for digest, signatures in fresh.items():
            closed = current is None or digest != current.digest
            self._accept(requests[digest], signatures, closed=closed)
        return Done() if current is None else self._status(current)

    def _current(self) -> Request | None:
        """What is asked for now: nothing more where the checkout's own key has ended the release."""
        path = self.place / REQUEST
        if self.own is not None and (self.place / FILE).exists() and not path.exists():
            return None
        return read_request(path)

    def _check_closed(self, build: Build, current: Request | None, requests: Iterable[Request]) -> None:
        """Refuse to go on with a boot that a key has signed which is not believed any more."""
        if current is not None and all(item.kind is not Kind.DSSE for item in current.items):
            return
        boot = boot_request(build, self.place)
        for request in requests:
            # what was asked for then told the sizes of unsigned programs; the digests are the same
            if boot is None or _digests(request) != _digests(boot):
                continue
            for signature in self._accepted(request):
                try:
                    self._check_one(request, signature)
                except ColvertError as error:
                    hint = "build and attach again; signatures by other keys are kept"
                    raise error.but(hint=hint) from error

    def _check(self, files: Sequence[Path], requests: dict[str, Request]) -> dict[str, list[Signature]]:
        """All of the signatures, each by a key that its item wants."""
        found: dict[str, list[Signature]] = defaultdict(list)
        for path, given in zip(files, read_signatures(files), strict=True):
            request, where = requests.get(given.request), Location(str(path))
            if request is None:
                what = "the signatures belong to another request"
                raise ColvertError(Code.SIGNATURE_INVALID, what, where=where)
            for signature in given.signatures:
                self._check_one(request, signature, where)
            found[given.request] += given.signatures
        return found

    def _check_one(self, request: Request, signature: Signature, where: Location | None = None) -> None:
        item = request.item(signature.name)
        if item is None:
            raise ColvertError(
                Code.SIGNATURE_INVALID, f"the request has no item {signature.name}", where=where
            )
        try:
            self.trust.check(item, signature)
        except ColvertError as error:
            raise error.but(where=where) from error

    def _accept(self, request: Request, fresh: list[Signature], *, closed: bool) -> None:
        known = self._accepted(request)
        merged = {(one.name, one.keyid): one for one in (*fresh, *known)}
        if closed and len(merged) > len(known):
            raise ColvertError(
                Code.SIGNATURE_INVALID,
                "this signing phase is closed: the release was assembled with its signatures",
                hint="build again to start a new request",
            )
        if len(merged) == len(known):
            return
        write(self._file(request, "request"), to_text(request))
        self._keep(request, [merged[key] for key in sorted(merged)])

    def _keep(self, request: Request, rows: list[Signature]) -> None:
        write(self._file(request, "signatures"), to_text(Signatures(request=request.digest, signatures=rows)))

    def _accepted(self, request: Request) -> list[Signature]:
        path = self._file(request, "signatures")
        return list(parse_signatures(path.read_bytes(), path).signatures) if path.exists() else []

    def _believed(self, request: Request) -> tuple[dict[str, list[Signature]], dict[str, str]]:
        """What was accepted and still counts, and why something does not, by the names of the items.

        A key may have been revoked since, or be gone from the trust root.
        """
        found: dict[str, list[Signature]] = defaultdict(list)
        lost: dict[str, str] = {}
        for signature in self._accepted(request):
            try:
                self._check_one(request, signature)
            except ColvertError as error:
                lost[signature.name] = f"; earlier signature refused: {error.what}"
            else:
                found[signature.name].append(signature)
        return found, lost

    def _status(self, request: Request) -> Missing | BootSigned | Done:
        by_name, lost = self._believed(request)
        missing = []
        for item in request.items:
            have, need = len(by_name[item.name]), self.trust.policy.threshold(item.key)
            if have < need:
                why = lost.get(item.name, "")
                missing.append(f"{item.name}: {have} of {need} signatures by {item.key}{why}")
        if missing:
            return Missing(request, tuple(missing))
        if lost:
            # a request that is closed has the signatures that went into the release, and no other
            self._keep(request, [one for rows in by_name.values() for one in rows])
        if any(item.kind is Kind.DSSE for item in request.items):
            write_envelopes(request, by_name, self.place)
            return Done()
        return BootSigned(request, self._boot(request, by_name))

    def _boot(self, request: Request, by_name: dict[str, list[Signature]]) -> BootSignatures:
        sorted_data = {
            name: tuple(one.data for one in sorted(found, key=lambda one: one.keyid))
            for name, found in by_name.items()
        }
        return BootSignatures(
            programs={
                item.name: sorted_data[item.name] for item in request.items if item.kind is Kind.AUTHENTICODE
            },
            root_hashes={
                item.name: SignedRootHash(
                    merge(sorted_data[item.name], root_hash(item.digest)),
                    self.trust.fingerprint(min(one.keyid for one in by_name[item.name])),
                )
                for item in request.items
                if item.kind is Kind.ROOT_HASH
            },
        )

    def _requests(self) -> dict[str, Request]:
        """The requests for which signatures were accepted."""
        found = [parse_request(path.read_bytes(), path) for path in self._state.glob("*.request.json")]
        return {request.digest: request for request in found}

    @property
    def _state(self) -> Path:
        return self.place / STATE

    def _file(self, request: Request, what: str) -> Path:
        return self._state / f"{request.digest}.{what}.json"

    def _tidy(self) -> None:
        for path in self.place.iterdir():
            if _LEFT.fullmatch(path.name):
                discard(path)


def _digests(request: Request) -> dict[str, str]:
    return {item.name: item.digest for item in request.items}
