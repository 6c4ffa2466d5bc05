"""Download of sources from mirrors and SRC_URI, verified before anything reads them.

Each distfile is looked for in the given mirrors (folders, or addresses laid out as
GENTOO_MIRRORS), then at its SRC_URI in order; `mirror://debian/` is the SDK's own Debian
mirror. A broken download is resumed at the address where it began, and at no other. A file
enters `distfiles/` by a rename, after its size, BLAKE2B and SHA512 agree with the overlay's
Manifest; nothing else ever gets there.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import urllib3

from builder.errors import Code, ColvertError, Location, raise_all
from builder.packages.manifest_file import read_lines
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.lock import held
from builder.sandbox.proxies import SCHEMES, Client, proxy_for
from builder.texts import public

AT_ONCE = 6
DEBIAN = "mirror://debian/"
# no other directory, and no file of ours (`.NAME.part`); a name has room for what is put around it
_NAME = re.compile(r"[^./\s\x00-\x1f\x7f][^/\s\x00-\x1f\x7f]{0,199}")
# what a mirror answers about a file that it does not have (any more)
GONE = ("HTTP 404", "HTTP 410")
# our own disk, and nothing that is wrong with the place that is copied from
FULL = (errno.ENOSPC, errno.EDQUOT)
CHUNK = 1 << 18
# answers about a file that came whole, and is another one than the pinned one
MISMATCH = "size or digest mismatch"
# the server ended the file before its pinned size
ENDED = f"{MISMATCH} (it is shorter)"
TIMEOUT = urllib3.Timeout(connect=10, read=60)
# the file's own bytes: a server that packs on the way, or says so of a .tar.gz, changes what is pinned
HEADERS = {"Accept-Encoding": "identity"}
# fetch+https://... and mirror+https://... (PMS 8, 7.3.2) lift RESTRICT, and the address begins behind them
_LIFTS = re.compile(r"(?:fetch|mirror)\+(?=[a-z]+://)")
# what says that a host cannot be reached at all, whatever it is asked for
_UNREACHABLE = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
# addresses of one host that were not answered in time, after which no more are tried
MAX_MUTE = 2


@dataclass(frozen=True)
class Distfile:
    """A source as the overlay's Manifest pins it (PMS has no more than GLEP 74 here)."""

    name: str
    size: int
    blake2b: str
    sha512: str
    uris: tuple[str, ...]
    where: Location


def read_manifest(path: Path) -> dict[str, tuple[int, dict[str, str], int]]:
    """A Manifest's DIST lines (GLEP 74): name -> (size, hash name -> hex digest, line)."""
    found: dict[str, tuple[int, dict[str, str], int]] = {}
    for number, line in enumerate(read_lines(path).decode("utf-8", "replace").split("\n"), 1):
        words = line.split()
        if not words or words[0] != "DIST":
            continue
        if len(words) < 5 or len(words) % 2 == 0 or not words[2].isdigit():
            raise ColvertError(
                Code.WRONG_DIGEST,
                "invalid DIST line",
                where=Location(str(path), number),
                hint="write it with colvert digest",
            )
        found[words[1]] = (int(words[2]), dict(zip(words[3::2], words[4::2], strict=True)), number)
    return found


def manifest_line(name: str, path: Path) -> str:
    """The DIST line (GLEP 74) of a file that is trusted as it is."""
    blake2b, sha512 = _hashes(path)
    return f"DIST {name} {path.stat().st_size} BLAKE2B {blake2b} SHA512 {sha512}"


def distfiles(manifest: Path, wanted: Mapping[str, Iterable[str]]) -> list[Distfile]:
    """The sources of a package with their digests; an error if the Manifest has none."""
    pinned = read_manifest(manifest)
    out = []
    for name, uris in wanted.items():
        if not _NAME.fullmatch(name):
            what = f"invalid distfile name {name!r}"
            raise ColvertError(Code.OVERLAY_INVALID, what, where=Location(str(manifest)))
        if name not in pinned:
            raise ColvertError(
                Code.WRONG_DIGEST,
                f"{name} is not in the Manifest",
                where=Location(str(manifest)),
                hint=f"colvert digest {manifest.parent.parent.name}/{manifest.parent.name}",
            )
        size, hashes, line = pinned[name]
        missing = {"BLAKE2B", "SHA512"} - set(hashes)
        if missing:
            raise ColvertError(
                Code.WRONG_DIGEST,
                f"{name} has no {' and no '.join(missing)}",
                where=Location(str(manifest), line),
            )
        out.append(
            Distfile(
                name, size, hashes["BLAKE2B"], hashes["SHA512"], tuple(uris), Location(str(manifest), line)
            )
        )
    return out


def matches(path: Path, wanted: Distfile) -> bool:
    """Whether a file is exactly the one pinned."""
    return path.stat().st_size == wanted.size and _hashes(path) == (wanted.blake2b, wanted.sha512)


def _hashes(path: Path) -> tuple[str, str]:
    """BLAKE2B and SHA512 of a file, in hexadecimal."""
    blake2b, sha512 = hashlib.blake2b(), hashlib.sha512()
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            blake2b.update(block)
            sha512.update(block)
    return blake2b.hexdigest(), sha512.hexdigest()


class Fetcher:
    """Fetches distfiles into one directory; remembers hosts that did not answer."""

    def __init__(
        self,
        directory: Path,
        debian: str,
        events: Events,
        mirrors: Iterable[str] = (),
        *,
        only: Path | None = None,
    ) -> None:
        self.directory = directory
        # the one folder to look in, and no other place
        self.only = only
        self.debian = debian
        self.events = events
        self.mirrors = tuple(mirrors)
        self._dead: set[str] = set()
        self._mute: Counter[str] = Counter()
        self._mutex = threading.Lock()
        self._verified: set[str] = set()
        # the names of sources that Debian's mirror once had and has no more
        self.gone: set[str] = set()
        self._http = Client(
            urllib3.Retry(total=8, connect=1, read=2, status=2, redirect=5, backoff_factor=0.5)
        )

    def fetch_all(self, wanted: Iterable[Distfile]) -> None:
        """Fetch all missing files in parallel; all failures are reported together."""
        todo = {item.name: item for item in wanted if not self.have(item)}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            failed = [error for error in pool.map(self._try, todo.values()) if error is not None]
        # what is wrong with the machine (its proxy) is not told once a file
        raise_all(list({(error.code, error.what, error.where): error for error in failed}.values()))

    def path(self, wanted: Distfile) -> Path:
        return self.directory / wanted.name

    def have(self, wanted: Distfile) -> bool:
        """Whether the file is there and right (checked once per process)."""
        path = self.path(wanted)
        if wanted.sha512 in self._verified and path.exists():
            return True
        if not path.exists() or not matches(path, wanted):
            return False
        self._verified.add(wanted.sha512)
        return True

    def _try(self, wanted: Distfile) -> ColvertError | None:
        try:
            self.fetch(wanted)
        except ColvertError as error:
            return error
        return None

    def fetch(self, wanted: Distfile) -> Path:
        """Fetch one file; raises FETCH_FAILED or WRONG_DIGEST with what each place answered."""
        with held(self.directory / ".locks" / wanted.name):
            if self.have(wanted):
                return self.path(wanted)
            answers: list[str] = []
            wrong = False
            for uri in self.places(wanted):
                part = self.part(wanted, uri)
                answer = self._whole(uri, part, wanted)
                if not answer:
                    return self._keep(part, wanted)
                answers.append(f"{public(uri)}: {answer}")
                wrong = wrong or answer.startswith(MISMATCH)
                if uri.startswith(self.debian) and answer in GONE:
                    self.gone.add(wanted.name)
        if wrong:
            raise ColvertError(
                Code.WRONG_DIGEST,
                f"{wanted.name} does not match its digest in the Manifest; it was not unpacked",
                where=wanted.where,
                detail=answers,
                hint="run colvert digest if upstream changed the file on purpose",
            )
        raise ColvertError(
            Code.FETCH_FAILED,
            f"{wanted.name} not found on any mirror",
            where=wanted.where,
            detail=answers,
            hint="add a mirror with --distfile-mirror, or use a newer version in the ebuild",
        )

    def part(self, wanted: Distfile, uri: str) -> Path:
        """What came from one address: another one's bytes may be of another file."""
        return self.directory / f".{wanted.name}.{hashlib.sha256(uri.encode()).hexdigest()[:12]}.part"

    def _whole(self, uri: str, part: Path, wanted: Distfile) -> str:
        """Download into `part` until it is the file; returns why it is not, or an empty string."""
        resumed = part.exists()
        answer = self._from(uri, part, wanted)
        if not answer:
            if matches(part, wanted):
                return ""
            answer = f"{MISMATCH} ({part.stat().st_size} of {wanted.size} bytes)"
        if answer.startswith(MISMATCH):
            part.unlink(missing_ok=True)
            # the first half may be of a file that has changed since
            return self._whole(uri, part, wanted) if resumed else answer
        return answer

    def _keep(self, part: Path, wanted: Distfile) -> Path:
        part.chmod(0o644)
        part.replace(self.path(wanted))
        for left in self.directory.glob(f".{glob.escape(wanted.name)}.*part"):
            left.unlink(missing_ok=True)
        self._verified.add(wanted.sha512)
        self.gone.discard(wanted.name)
        return self.path(wanted)

    def trust(self, name: str, uris: tuple[str, ...], directory: Path) -> Path:
        """Fetch a file that no Manifest pins yet, whatever it is; for `colvert digest` only."""
        answers = []
        # a size that no file reaches: the download ends where the server ends it
        wanted = Distfile(name, 1 << 62, "", "", uris, Location(name))
        part = directory / "part"
        for uri in self.places(wanted):
            answer = self._from(uri, part, wanted)
            if part.exists() and part.stat().st_size and answer in ("", ENDED):
                return part
            answers.append(f"{public(uri)}: {answer}")
        raise ColvertError(Code.FETCH_FAILED, f"{name} not found on any mirror", detail=answers)

    def places(self, wanted: Distfile) -> Iterator[str]:
        """Where to look, in order."""
        if self.only is not None:
            yield str(self.only / wanted.name)
            return
        for mirror in self.mirrors:
            base = mirror.rstrip("/")
            if base.startswith("file://"):
                yield str(Path(unquote(base.removeprefix("file://"))) / wanted.name)
            elif "://" not in base:
                yield str(Path(base) / wanted.name)
            else:
                yield f"{base}/distfiles/{quote(wanted.name)}"
                # GLEP 75: the default layout of Gentoo's mirrors since 2019
                prefix = hashlib.blake2b(wanted.name.encode()).hexdigest()[:2]
                yield f"{base}/distfiles/{prefix}/{quote(wanted.name)}"
        for uri in (_LIFTS.sub("", one, count=1) for one in wanted.uris):
            yield f"{self.debian}/{uri.removeprefix(DEBIAN)}" if uri.startswith(DEBIAN) else uri

    def _from(self, uri: str, part: Path, wanted: Distfile) -> str:
        """Download into `part`, going on where it ended; returns why not, or an empty string."""
        if "://" not in uri:
            try:
                shutil.copyfile(uri, part)
            except OSError as error:
                if error.errno in FULL:
                    raise
                return error.strerror or str(error)
            return ""
        try:
            scheme, host = urlsplit(uri)[:2]
        except ValueError:
            return "not an HTTP URL"
        if scheme not in SCHEMES:
            return "not an HTTP URL"
        if host in self._dead:
            return "skipped: the host did not answer before"
        try:
            return self._download(uri, part, wanted)
        except urllib3.exceptions.MaxRetryError as error:
            self._judge(host, error)
            if isinstance(error.reason, urllib3.exceptions.ResponseError):
                return str(error.reason)
            if isinstance(error.reason, urllib3.exceptions.ProxyError):
                return f"the proxy {public(proxy_for(uri) or '')} does not answer"
            return f"host does not answer ({type(error.reason).__name__})"
        except urllib3.exceptions.HTTPError as error:
            # an OSError is one of this machine, such as a full disk, and no answer of a server
            return f"connection lost ({type(error).__name__})"

    def _judge(self, host: str, error: urllib3.exceptions.MaxRetryError) -> None:
        """Ask a host no more that cannot be reached; one bad address says nothing of its others."""
        with self._mutex:
            # a redirect may have led to another host, which is the one that is away
            asked = urlsplit(f"//{host}")
            here = getattr(error.pool, "host", "") == asked.hostname
            here = here and asked.port in (None, getattr(error.pool, "port", None))
            if isinstance(error.reason, urllib3.exceptions.ProxyError) or (
                here and isinstance(error.reason, _UNREACHABLE)
            ):
                self._dead.add(host)
            elif isinstance(error.reason, urllib3.exceptions.ReadTimeoutError):
                self._mute[host] += 1
                if self._mute[host] >= MAX_MUTE:
                    self._dead.add(host)

    def _download(self, uri: str, part: Path, wanted: Distfile) -> str:
        done = part.stat().st_size if part.exists() else 0
        if done > wanted.size:
            part.unlink()
            done = 0
        if done == wanted.size:
            return ""
        headers = {**HEADERS, "Range": f"bytes={done}-"} if done else HEADERS
        answer = self._http.request("GET", uri, headers=headers, preload_content=False, timeout=TIMEOUT)
        try:
            if answer.status == 416:
                return f"{MISMATCH} (the server has no more of it)"
            if answer.status not in (200, 206):
                return f"HTTP {answer.status}"
            with part.open("ab" if answer.status == 206 else "wb") as sink:
                for block in answer.stream(CHUNK, decode_content=False):
                    sink.write(block)
                    if sink.tell() > wanted.size:
                        break
                    self.events.emit(
                        Event(
                            kind=Kind.TRANSFER,
                            stage="fetch",
                            label=wanted.name,
                            done=sink.tell(),
                            total=wanted.size,
                        )
                    )
        finally:
            answer.release_conn()
        # a connection that is lost is an error; this is all that the server has
        return "" if part.stat().st_size >= wanted.size else ENDED
