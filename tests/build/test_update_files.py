"""Update files of real images: whole parts, deltas, the index around them; and a small change stays small."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from builder.build.blueprint import Blueprint
from builder.build.image import build_images
from builder.build.session import Session
from builder.build.tree import REPORT, TREE
from builder.build.trusted_keys import check_update
from builder.cli.verify import expand_here
from builder.errors import Code, ColvertError
from builder.formats.gpt import MIB
from builder.pipeline.events import Event, Events
from builder.pipeline.index import digest, survey
from builder.pipeline.key import digest_file
from builder.sandbox.sdk import Sdk
from builder.tools.zstd import apply_delta, compress, expand
from builder.updates.delta import SIGNED, UNSIGNED, Target, find_earlier, read_index
from builder.updates.dsse import parse, verify
from builder.updates.index import PAYLOAD_TYPE, File, Index, parse_index
from builder.updates.keys import PublicKey, development_key
from tests.build.places import elsewhere, open_place, workplace
from tests.releases import EPOCH, Variant, make

DAY = 86400
GOAL = 100_000
NOTE = "/usr/share/colvert/note"


@dataclass
class Releases:
    """Two releases that differ by one file, the second with deltas from the first."""

    place: Path
    state: Path
    seen: list[Event]

    def session(self, variant: Variant) -> Session:
        return variant.open(self.place, state=self.state, events=Events(self.seen.append))

    def build(self, variant: Variant, *deltas_from: Path) -> Path:
        return build_images(self.session(variant), ("qemu",), self.place / "out", deltas_from) / "update"

    def parts(self, variant: Variant) -> dict[str, Path]:
        return make(self.session(variant), "usr", "boot").parts


FIRST = Variant("1.9.0", {NOTE: "one\n"}, expires_after=None)
SECOND = Variant("1.10.0", {NOTE: "two\n"}, epoch=EPOCH + 40 * DAY, expires_after=30)


@pytest.fixture(scope="module")
def releases() -> Iterator[Releases]:
    with open_place() as place:
        made = Releases(place, place / ".colvert", [])
        out = made.build(FIRST).parents[1]
        # as in root's home: closed to the id that sandboxed programs run as
        out.chmod(0o700)
        made.build(SECOND, out)
        out.chmod(0o755)
        yield made


work = pytest.fixture(workplace)


def folder(releases: Releases, variant: Variant) -> Path:
    return releases.place / "out" / variant.version / "update"


def signed(releases: Releases, variant: Variant) -> Index:
    """The index of a release, as a machine with the development key reads it."""
    path = folder(releases, variant) / SIGNED
    payload = verify(parse(path.read_bytes()), PAYLOAD_TYPE, [development_key(releases.state).public])
    return parse_index(payload, path)


def deltas(index: Index) -> dict[str, File]:
    return {name: file for name, part in index.parts.items() for file in part.files if file.origin}


def test_every_file_is_named_by_its_digest_and_in_the_index(releases: Releases) -> None:
    for variant, each in ((FIRST, 1), (SECOND, 2)):
        index, place = signed(releases, variant), folder(releases, variant)
        files = [file for _, part in index.parts.items() for file in part.files]
        assert len(files) == 3 * each
        for file in files:
            assert digest_file(place / file.name) == file.sha256
            assert (place / file.name).stat().st_size == file.size
        indexes = {SIGNED, f"{variant.version}.json"}
        assert {path.name for path in place.iterdir()} == {file.name for file in files} | indexes
        assert (place / SIGNED).read_bytes() == (place / f"{variant.version}.json").read_bytes()


def test_the_index_says_what_the_release_is(releases: Releases) -> None:
    index = signed(releases, SECOND)
    assert (index.image_id, index.architecture, index.channel) == ("colvert", "x86_64", "stable")
    assert (index.version, index.from_at_least) == ("1.10.0", "0")
    assert (index.created, index.expires) == (SECOND.epoch, SECOND.epoch + 30 * DAY)
    assert index.root_hash == make(releases.session(SECOND), "usr").image.root_hash
    first = signed(releases, FIRST)
    assert first.expires - first.created == 180 * DAY


def test_whole_files_give_back_the_parts(releases: Releases, sdk: Sdk, work: Path) -> None:
    for variant in (FIRST, SECOND):
        index, parts = signed(releases, variant), releases.parts(variant)
        for name, part in index.parts.items():
            file = folder(releases, variant) / part.whole.name
            out = expand(file, work / "out", sdk_root=sdk.root)
            assert digest_file(out) == part.sha256 == digest_file(parts[name])
            assert out.stat().st_size == part.size == content_size(file)


def test_a_frame_does_not_become_more_than_it_may(sdk: Sdk, work: Path) -> None:
    """Whatever its header says: the second frame's content comes behind the first one's."""
    data, frame = work / "data", work / "frame"
    data.write_bytes(b"1" * MIB)
    compress(data, frame, sdk_root=sdk.root)
    frame.write_bytes(frame.read_bytes() * 2)
    assert expand(frame, work / "all", sdk_root=sdk.root, limit=2 * MIB).stat().st_size == 2 * MIB
    with pytest.raises(ColvertError) as caught:
        expand(frame, work / "more", sdk_root=sdk.root, limit=2 * MIB - 1)
    assert caught.value.code is Code.COMMAND_FAILED
    if shutil.which("zstd"):
        assert expand_here(frame, work / "here", 2 * MIB).stat().st_size == 2 * MIB
        with pytest.raises(ColvertError):
            expand_here(frame, work / "too much", 2 * MIB - 1)


def test_each_delta_leads_from_the_old_part_to_the_new(releases: Releases, sdk: Sdk, work: Path) -> None:
    index, old, first = signed(releases, SECOND), releases.parts(FIRST), signed(releases, FIRST)
    found = deltas(index)
    assert found.keys() == {"usr", "verity", "uki"}
    for name, file in found.items():
        origin, part = file.origin, index.parts[name]
        assert origin is not None
        assert (origin.version, origin.root_hash) == ("1.9.0", first.root_hash)
        assert (origin.size, origin.sha256) == (old[name].stat().st_size, digest_file(old[name]))
        path = folder(releases, SECOND) / file.name
        out = apply_delta(old[name], path, work / "out", sdk_root=sdk.root)
        assert digest_file(out) == part.sha256
        assert content_size(path) == part.size
        with pytest.raises(ColvertError):
            expand(path, work / "alone", sdk_root=sdk.root)


def content_size(file: Path) -> int:
    """What the header of a zstd frame says of its content (RFC 8878, 3.1.1.1)."""
    head = file.read_bytes()[:18]
    assert head[:4] == b"\x28\xb5\x2f\xfd"
    single, size_flag, dictionary = head[4] >> 5 & 1, head[4] >> 6, head[4] & 3
    assert dictionary == 0
    at = 5 if single else 6
    length = (1 if single else 0, 2, 4, 8)[size_flag]
    assert length, "the size of the content is not in the header"
    return int.from_bytes(head[at : at + length], "little") + (256 if length == 2 else 0)


def test_a_change_of_one_file_is_a_small_update(releases: Releases) -> None:
    sizes = {name: file.size for name, file in deltas(signed(releases, SECOND)).items()}
    index = (folder(releases, SECOND) / SIGNED).stat().st_size
    assert sum(sizes.values()) + index < GOAL, sizes


def test_the_same_bytes_twice(releases: Releases) -> None:
    session = releases.session(SECOND)
    earlier = check_update(session, [folder(releases, FIRST)])
    made = make(session, "update", earlier=earlier).image.entries
    jobs = {job.name: job for job in Blueprint(session, earlier).jobs()}
    with elsewhere():
        os.umask(0o022)  # as open_home does for whatever umask it finds
        for name in ("whole", "delta:1.9.0", "update"):
            stage = jobs[name].make(made)
            with session.executor.working(stage) as place:
                stage.run(place)
                assert digest(survey(place.out)) == made[name].digest
    payload = session.store.read(made["update"].part(UNSIGNED))
    assert parse((folder(releases, SECOND) / SIGNED).read_bytes()).content() == payload


def test_the_image_says_whom_it_believes(releases: Releases) -> None:
    made = make(releases.session(SECOND), "tree")
    tree = made.path("tree", TREE)
    public = development_key(releases.state).public
    assert (tree / "usr/lib/colvert/keys/update/development.pem").read_bytes() == public.pem
    assert "COLVERT_KEYS=development\n" in (tree / "usr/lib/os-release").read_text()
    settings = (tree / "usr/lib/colvert/update.conf").read_text().splitlines()
    assert settings == ["CHANNEL=stable", "REBOOT=never", "RATE=0", "KEXEC=no"]
    owners = json.loads(made.path("tree", REPORT).read_text())["owners"]
    assert owners["usr/lib/colvert/update.conf"] == "rule:update"
    assert owners["usr/lib/colvert/keys/update/development.pem"] == "rule:update"


def test_another_key_signs_later(releases: Releases) -> None:
    key = PublicKey(generate_private_key(SECP256R1()).public_key())
    (releases.place / "fleet.pem").write_bytes(key.pem)
    update = {
        "source": "https://updates.example.org/a%20b", "channel": "beta 2",
        "keys": ["fleet.pem"], "from_at_least": "1.9.0", "reboot": "window",
        "window_start": "Sun *-*-* 03:00", "window_length": "2h", "rate": "1 MiB", "kexec": "yes",
    }  # fmt: skip
    variant = Variant("1.11.0", {}, {"keys": {"release": "fleet"}, "update": update})
    releases.seen.clear()
    session = releases.session(variant)
    place = build_images(session, ("qemu",), releases.place / "other", (folder(releases, SECOND),)) / "update"
    assert not (place / SIGNED).exists() and not (place / "1.11.0.json").exists()
    assert any("request.json requires signatures by fleet" in event.text for event in releases.seen)
    index = read_index(place / UNSIGNED)
    assert (place / UNSIGNED).read_bytes() == index.payload()
    assert (index.channel, index.from_at_least) == ("beta 2", "1.9.0")
    assert {file.origin.version for file in deltas(index).values() if file.origin} == {"1.10.0"}
    tree = make(session, "tree").path("tree", TREE)
    assert [path.name for path in (tree / "usr/lib/colvert/keys/update").iterdir()] == ["fleet.pem"]
    assert "COLVERT_KEYS" not in (tree / "usr/lib/os-release").read_text()
    assert (tree / "usr/lib/colvert/update.conf").read_text().splitlines() == [
        "SOURCE=\"https://updates.example.org/a%20b\"", 'CHANNEL="beta 2"', "REBOOT=window",
        'WINDOW_START="Sun *-*-* 03:00"', 'WINDOW_LENGTH=2h', "RATE=1048576", "KEXEC=yes",
    ]  # fmt: skip


def test_a_damaged_earlier_release_stops_the_build_before_it_begins(releases: Releases, work: Path) -> None:
    shutil.copytree(folder(releases, FIRST), work / "old")
    path = work / "old" / signed(releases, FIRST).parts["usr"].whole.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    releases.seen.clear()
    with pytest.raises(ColvertError) as caught:
        releases.build(replace(SECOND, version="1.12.0"), work / "old")
    assert caught.value.code is Code.RELEASE_INVALID
    assert [event for event in releases.seen if event.kind == "started"] == []
    assert not (releases.place / "out/1.12.0").exists()


def test_an_earlier_part_that_is_not_what_its_index_says(releases: Releases, sdk: Sdk, work: Path) -> None:
    """Only reading it shows this: the file is what its name says, and holds something else."""
    shutil.copytree(folder(releases, FIRST), work / "old")
    compress(releases.parts(SECOND)["verity"], work / "other", sdk_root=sdk.root)
    digest, size = digest_file(work / "other"), (work / "other").stat().st_size
    (work / "other").rename(work / "old" / f"{digest}.zst")
    forged = signed(releases, FIRST).model_dump(by_alias=True)
    forged["parts"]["verity"]["files"][0] |= {"name": f"{digest}.zst", "sha256": digest, "size": size}
    for path in (work / "old").glob("*.json"):
        path.unlink()
    (work / "old" / UNSIGNED).write_bytes(Index.model_validate(forged).payload())
    session = releases.session(replace(SECOND, version="1.13.0"))
    earlier = check_update(session, [work / "old"])
    with pytest.raises(ColvertError) as caught:
        make(session, "delta:1.9.0", earlier=earlier)
    assert caught.value.code is Code.RELEASE_INVALID


def test_what_cannot_be_is_told_before_anything_is_built(releases: Releases, work: Path) -> None:
    (work / "fleet.pem").write_text("none")
    for update in ({"from_at_least": "2.0.0"}, {"keys": [str(work / "fleet.pem")]}):
        variant = Variant("1.14.0", {}, {"update": update}, expires_after=None)
        with pytest.raises(ColvertError) as caught:
            releases.session(variant)
        assert caught.value.code is Code.MANIFEST_INVALID
        where = caught.value.where
        assert where is not None and where.line
        assert yaml.safe_load(variant.write(work).read_text())["update"] == update
    with pytest.raises(ColvertError) as caught:
        releases.build(FIRST, folder(releases, SECOND))
    assert "not older" in caught.value.what
    target = Target("colvert", "x86_64", "1.9.0")
    assert find_earlier([releases.place / "out"], target, 3) == []


def test_the_image_says_which_commit_it_is(session: Session) -> None:
    """Only where it is one: with changes beside it, a commit's id would be a lie."""
    tree = make(session, "tree").path("tree", TREE)
    lines = (tree / "usr/lib/os-release").read_text().splitlines()
    told = [line for line in lines if line.startswith("BUILD_ID=")]
    loaded = session.loaded
    assert told == ([] if loaded.dirty else [f"BUILD_ID={loaded.commit}"])
