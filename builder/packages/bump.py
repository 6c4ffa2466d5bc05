"""Replacement of a source that no mirror has any more by the newest patch release.

Debian's pool drops a point release when the next one is in. The SDK's own apt fetches the signed
index of sources and checks its signature; it names the files that are there now, with their
SHA-256. The packages concerned get a copy of their overlay in which ebuild and Manifest name the
newer release; the overlay itself stays as it is.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.packages.fetch import DEBIAN, Fetcher, manifest_line
from builder.packages.manifest_file import read_lines, renew
from builder.packages.overlay import Overlay
from builder.packages.plan import Node
from builder.pipeline.directories import discard
from builder.pipeline.files import write_atomic
from builder.pipeline.key import digest_file, digest_tree, digest_value
from builder.pipeline.lock import held
from builder.sandbox.home import Home
from builder.sandbox.proxies import environment
from builder.sandbox.run import Bind, hand_over, run
from builder.sandbox.sdk import Sdk
from builder.texts import public_error

# what counts up from one patch release to the next: the last number, or the letter of 2026b
COUNTER = re.compile(r"(?P<stem>.*?)(?P<tail>\d+|[a-z])")


@dataclass(frozen=True)
class Source:
    """A file of Debian's pool, as the signed index has it."""

    uri: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Bump:
    """One package that takes a newer release, and the file that it is made of."""

    node: Node
    distfile: str
    version: str
    source: Source

    @property
    def ebuild(self) -> str:
        """The new ebuild's path in its overlay."""
        return f"{Path(self.node.ebuild).parent}/{self.node.name}-{self.version}.ebuild"


def find_bumps(home: Home, sdk: Sdk, nodes: Iterable[Node], gone: Iterable[str]) -> list[Bump]:
    """A newer release for every package that needs one of the distfiles that are `gone`.

    Raises FETCH_FAILED, naming the package, where Debian's index has none.
    """
    missing = set(gone)
    wanted = [(node, name) for node in nodes for name in sorted(missing & set(node.distfiles))]
    places = {_pool_name(node, name): None for node, name in wanted}
    index = debian_sources(home, sdk, sorted({place.partition("_")[0] for place in places if place}))
    bumps = []
    for node, name in wanted:
        place = _pool_name(node, name)
        found = newest(node.version, place, index) if place else None
        if found is None:
            raise ColvertError(
                Code.FETCH_FAILED,
                f"{name} of {node.cpv} is no longer on its mirrors, and Debian has no newer release",
                hint="update the ebuild's version (then run colvert digest), or use --distfile-mirror",
            )
        bumps.append(Bump(node, name, *found))
    return bumps


def _pool_name(node: Node, name: str) -> str:
    """A distfile's name in Debian's pool (source_version...), or nothing where it is not from there."""
    for uri in node.distfiles[name]:
        if uri.startswith(DEBIAN):
            return uri.rpartition("/")[2]
    return ""


def newest(version: str, place: str, index: Sequence[Source]) -> tuple[str, Source] | None:
    """The newest patch release after `version` of the file called `place`, if the index has one.

    A patch release differs in the version's last number or letter only.
    """
    counter = COUNTER.fullmatch(version)
    before, found, after = place.partition(version)
    if counter is None or not found:
        return None
    kind = r"\d+" if counter["tail"].isdigit() else "[a-z]"
    form = re.compile(f"{re.escape(before + counter['stem'])}({kind}){re.escape(after)}")
    releases = {}
    for source in index:
        hit = form.fullmatch(source.uri.rpartition("/")[2])
        if hit and _rank(hit[1]) > _rank(counter["tail"]):
            releases[_rank(hit[1])] = (counter["stem"] + hit[1], source)
    return releases[max(releases)] if releases else None


def _rank(tail: str) -> tuple[int, str]:
    return (int(tail), "") if tail.isdigit() else (0, tail)


# --- Debian's index ---------------------------------------------------------------


def debian_sources(home: Home, sdk: Sdk, packages: Sequence[str]) -> list[Source]:
    """Every file of these source packages that the SDK's mirror has now, vouched for by apt."""
    if not packages:
        return []
    # apt locks its lists and would fail beside another build's
    with held(home.cache / "apt.lock"):
        return _ask_apt(hand_over(home.cache / "apt"), sdk, packages)


def _ask_apt(place: Path, sdk: Sdk, packages: Sequence[str]) -> list[Source]:
    text = (sdk.root / "etc/apt/sources.list").read_text()
    # security updates lie on another server, below an address that starts with the same words
    lines = [line for line in text.splitlines() if sdk.mirror in (word.rstrip("/") for word in line.split())]
    for folder in ("lists", "lists/partial"):
        hand_over(place / folder)
    (place / "sources.list").write_text("".join(f"{re.sub('^deb ', 'deb-src ', line)}\n" for line in lines))
    options = [
        *("-o", "Dir::Etc::SourceList=/run/apt/sources.list", "-o", "Dir::Etc::SourceParts=/nonexistent"),
        *("-o", "Dir::State::Lists=/run/apt/lists", "-o", "Dir::Cache=/tmp", "-o", "Acquire::Languages=none"),
        # one id is mapped here, so there is nobody to hand the downloading to
        *("-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any"),
    ]
    box = sdk.sandbox(Bind(place, "/run/apt", writable=True), network=True)
    update = ["apt-get", *options, "--quiet", "update"]
    try:
        run(update, sandbox=box, env=environment(), code=Code.FETCH_FAILED)
    except ColvertError as error:
        raise public_error(error) from error
    shown = run(["apt-cache", *options, "--only-source", "showsrc", *packages], sandbox=box)
    return [source for stanza in shown.stdout.split("\n\n") for source in read_stanza(stanza)]


def read_stanza(stanza: str) -> list[Source]:
    """The files of one stanza of a Sources index (deb-src; Debian Policy 5.4)."""
    fields: dict[str, list[str]] = {}
    for line in stanza.splitlines():
        name, colon, value = line.partition(":")
        if line[:1].isspace() and fields:
            fields[next(reversed(fields))].append(line.strip())
        elif colon:
            fields[name] = [value.strip()]
    directory = "".join(fields.get("Directory", ()))
    rows = [line.split() for line in fields.get("Checksums-Sha256", ()) if line]
    return [Source(f"{DEBIAN}{directory}/{name}", int(size), digest) for digest, size, name in rows]


# --- the overlay that names the newer release --------------------------------------


def bumped_overlay(home: Home, overlay: Overlay, bumps: Sequence[Bump], fetcher: Fetcher) -> Overlay:
    """A copy of the overlay in which each of `bumps` has its newer ebuild and Manifest."""
    target = (
        home.cache
        / "bumped"
        / digest_value(
            {
                "overlay": digest_tree(overlay.path),
                "bumps": [[bump.ebuild, bump.source.sha256] for bump in bumps],
            }
        )
    )
    with held(target.with_name(f"{target.name}.lock")):
        _write_bumped(target, overlay, bumps, fetcher)
    return replace(overlay, path=target)


def _write_bumped(target: Path, overlay: Overlay, bumps: Sequence[Bump], fetcher: Fetcher) -> None:
    """Make the copy, unless an earlier build did; it appears whole, by one rename."""
    if not target.exists():
        part = target.with_name(f"{target.name}.part")
        discard(part)
        shutil.copytree(overlay.path, part, symlinks=True)
        for bump in bumps:
            (part / bump.node.ebuild).rename(part / bump.ebuild)
            _pin(part, bump, fetcher)
        part.rename(target)


def _pin(overlay: Path, bump: Bump, fetcher: Fetcher) -> None:
    """Fetch the newer file, hold it against the index, and put it into the Manifest."""
    name = bump.distfile.replace(bump.node.version, bump.version)
    scratch = fetcher.directory / f".bump-{bump.source.sha256}"
    scratch.mkdir(exist_ok=True)
    try:
        path = fetcher.trust(name, (bump.source.uri,), scratch)
        if path.stat().st_size != bump.source.size or digest_file(path) != bump.source.sha256:
            raise ColvertError(
                Code.WRONG_DIGEST, f"{bump.source.uri} does not match the digest in Debian's signed index"
            )
        manifest = (overlay / bump.ebuild).parent / "Manifest"
        fresh = {name: manifest_line(name, path)}
        write_atomic(manifest, renew(read_lines(manifest), fresh, gone=bump.distfile))
        path.chmod(0o644)
        path.replace(fetcher.directory / name)
    finally:
        discard(scratch)
