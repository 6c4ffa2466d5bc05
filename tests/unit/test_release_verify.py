"""Verify names what is not a release's: one bit anywhere, a file more or less, another release's part."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from builder.describe.provenance import Build as Made
from builder.describe.provenance import make_statement
from builder.errors import Code, ColvertError, raise_all
from builder.pipeline.key import digest_file
from builder.signing.boot_signatures import BootSignatures
from builder.signing.phases import Build
from builder.signing.request import Request
from builder.tools.verity import signature_partition
from builder.updates.contents import FILE, paths
from builder.updates.dsse import parse
from builder.updates.index import parse_index
from builder.updates.parts import SIGNATURE
from builder.verify.release import Verifier
from tests.unit.signing import Project, certificate_pem, make, read_frame, update, write_keys


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make(tmp_path_factory.mktemp("signed")).sign_all()


@pytest.fixture
def project(signed: Project, tmp_path: Path) -> Project:
    """A copy to damage."""
    shutil.copytree(signed.place, tmp_path / "release")
    shutil.copytree(signed.keys, tmp_path / "keys")
    return Project(tmp_path / "release", tmp_path / "keys", signed.version)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << at % 8
    path.write_bytes(data)


def test_a_whole_release(project: Project) -> None:
    report = project.verify()
    assert report.errors == []
    text = "\n".join(report.held)
    for word in ("Authenticode signature by db", "PKCS#7 signature", "signed by release", "all blocks"):
        assert word in text


def test_one_bit_in_each_file(project: Project) -> None:
    names = list(paths(project.place))
    assert len(names) == 12
    for name in names:
        path = project.place / name
        whole, size = path.read_bytes(), path.stat().st_size
        for at in (0, size // 3, size // 2, size - 1):
            flip(path, at)
            assert name in project.broken(), (name, at)
            path.write_bytes(whole)
    assert project.broken() == set()


def test_one_bit_in_the_release_index(project: Project) -> None:
    path = project.place / FILE
    whole = path.read_bytes()
    for at in range(0, len(whole), 61):
        flip(path, at)
        with pytest.raises(ColvertError) as caught:
            raise_all(project.verify().errors)
        assert str(caught.value.where).endswith((FILE, "keys")) or caught.value.code is Code.SIGNATURE_INVALID
        path.write_bytes(whole)


def test_a_file_that_is_gone_and_one_too_many(project: Project) -> None:
    (project.place / "qemu/acme.qcow2").unlink()
    (project.place / "qemu/other.qcow2").write_text("other")
    (project.place / "boot/new.efi").symlink_to("systemd-bootx64.efi")
    assert project.broken() == {"qemu/acme.qcow2", "qemu/other.qcow2", "boot/new.efi"}


def test_no_index(project: Project) -> None:
    (project.place / FILE).unlink()
    with pytest.raises(ColvertError, match="not signed"):
        project.verify()


def test_an_older_index_is_replayed(project: Project, tmp_path: Path) -> None:
    older = make(tmp_path / "older", "0.9.0").sign_all()
    for name in ("index.json", "1.0.0.json"):
        (project.place / "update" / name).write_bytes((older.place / "update/index.json").read_bytes())
    errors = project.verify().errors
    assert {str(error.where) for error in errors} == {"update/index.json", "update/1.0.0.json"}
    assert all("acme 0.9.0" in error.what for error in errors)


def test_an_older_release_index_is_replayed(project: Project, tmp_path: Path) -> None:
    older = make(tmp_path / "older", "0.9.0").sign_all()
    (project.place / FILE).write_bytes((older.place / FILE).read_bytes())
    broken = project.broken()
    assert {"boot/acme_0.9.0.efi", "boot/acme_1.0.0.efi", "update/0.9.0.json", "update/1.0.0.json"} <= broken


@pytest.mark.parametrize("folder", ["boot", "update", "qemu"])
def test_two_releases_mixed(folder: str, project: Project, tmp_path: Path) -> None:
    other = make(tmp_path / "other", "1.1.0").sign_all()
    shutil.rmtree(project.place / folder)
    shutil.copytree(other.place / folder, project.place / folder)
    broken = project.broken()
    assert broken and any(name.startswith(folder) for name in broken)


def test_a_key_that_is_revoked_or_gone(project: Project) -> None:
    for name, places in (
        ("db", {"boot/acme_1.0.0.efi", "boot/systemd-bootx64.efi"}),
        ("verity", {"boot/usr.roothash"}),
    ):
        write_keys(project.keys / "revoked", [name], private_too=False)
        assert project.broken() == places
        shutil.rmtree(project.keys / "revoked")
        (project.keys / f"{name}.crt").rename(project.keys / "away")
        assert project.broken() == places
        (project.keys / "away").rename(project.keys / f"{name}.crt")
    write_keys(project.keys / "revoked", ["release"], private_too=False)
    with pytest.raises(ColvertError) as caught:
        project.verify()
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_the_key_of_programs_does_not_sign_indexes(project: Project) -> None:
    """Only the bare keys of the name that the index itself gives."""
    (project.keys / "release.pem").rename(project.keys / "other.pem")
    with pytest.raises(ColvertError) as caught:
        project.verify()
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_a_policy_without_the_key(project: Project) -> None:
    """So does one of a production know no `development`."""
    (project.keys / "policy.yaml").write_text("keys: {release: {}, db: {}}\n")
    assert project.broken() == {"boot/usr.roothash"}
    (project.keys / "policy.yaml").write_text("keys: {db: {}, verity: {}}\n")
    with pytest.raises(ColvertError, match="does not allow the key release"):
        project.verify()


def test_an_update_brings_the_root_hash_s_signature(signed: Project) -> None:
    """The part is what a new disk's partition has; a release without it verifies as ever."""
    index = parse_index(parse((signed.place / "update/index.json").read_bytes()).content(), signed.place)
    partition = signed.place / "boot/usr.verity-sig"
    assert index.parts[SIGNATURE].sha256 == digest_file(partition)


def test_another_signature_in_the_update_files(tmp_path: Path) -> None:
    project = make(tmp_path)
    made, partition = [], project.place / "boot/usr.verity-sig"

    def assemble(build: Build, request: Request, signatures: BootSignatures) -> None:
        project.assemble(build, request, signatures)
        made.append(partition.read_bytes())
        partition.write_bytes(made[0].replace(b"rootHash", b"roothash"))

    project.attach(project.sign("db", "verity"), assemble=assemble)
    project.attach(project.sign("release"))
    errors = project.verify().errors
    assert "its signature differs from boot/usr.verity-sig" in errors[-1].what
    assert [str(error.where) for error in errors[:-1]] == ["boot/usr.verity-sig"]


@contextmanager
def in_time(seconds: int = 20) -> Iterator[None]:
    """A read that waits for ever fails."""

    def late(*_: object) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize(
    "name",
    ["update/index.json", "update/1.0.0.json", "boot/acme_1.0.0.efi", "boot/systemd-bootx64.efi",
     "boot/usr.roothash", "boot/usr.roothash.p7s", "boot/usr.verity-sig"],
)  # fmt: skip
def test_what_is_no_file_is_not_read(name: str, project: Project) -> None:
    path = project.place / name
    for target in (None, path.rename(project.place.parent / "away"), Path("/dev/zero")):
        os.mkfifo(path) if target is None else path.symlink_to(target)
        with in_time():
            assert name in project.broken()
        path.unlink()


def test_a_release_index_that_is_no_file(project: Project) -> None:
    path = project.place / FILE
    for target in (None, path.rename(project.place.parent / "away"), Path("/dev/zero")):
        os.mkfifo(path) if target is None else path.symlink_to(target)
        with in_time(), pytest.raises(ColvertError, match="not a regular file"):
            project.verify()
        path.unlink()


@pytest.mark.parametrize("name", [FILE, "update/index.json"])
def test_an_envelope_that_is_too_large(name: str, project: Project) -> None:
    os.truncate(project.place / name, 9 << 20)
    try:
        [error] = project.verify().errors
    except ColvertError as raised:
        error = raised
    assert str(error.where).endswith(name) and "larger than" in error.what


def test_a_file_that_was_refused_is_not_opened_again(project: Project) -> None:
    """An update file of somebody else may be small and become large."""
    names = sorted(path.name for path in (project.place / "update").glob("*.zst"))
    expanded = []

    def expand(source: Path, out: Path, limit: int) -> Path:
        expanded.append(source.name)
        return read_frame(source, out, limit)

    for name in names:
        flip(project.place / "update" / name, 100)
    report = Verifier(project.place, project.trust, expand).run()
    assert expanded == []
    assert {str(error.where) for error in report.errors} == {f"update/{name}" for name in names}
    assert len(report.errors) == len(names)


Change = Callable[[Project, Build], None]


def released(tmp_path: Path, change: Change) -> Project:
    """A release that was signed with something changed in it."""
    project = make(tmp_path)

    def assemble(build: Build, request: Request, signatures: BootSignatures) -> None:
        project.assemble(build, request, signatures)
        change(project, build)

    project.attach(project.sign("db", "verity"), assemble=assemble)
    project.attach(project.sign("release"))
    return project


def partition_of(root_hash: str, fingerprint: str, name: str = "usr.roothash.p7s") -> Change:
    def change(project: Project, build: Build) -> None:
        signature = (project.place / "boot" / name).read_bytes()
        made = signature_partition(root_hash or build.root_hash, fingerprint, signature)
        (project.place / "boot/usr.verity-sig").write_bytes(made)
        update(project.place, build)

    return change


def fingerprint(name: str) -> str:
    return load_pem_x509_certificate(certificate_pem(name)).fingerprint(SHA256()).hex()


def test_the_signature_that_machines_get(tmp_path: Path) -> None:
    """It is the one that was checked, with its own certificate; the p7s is for others."""
    own = fingerprint("verity")
    assert released(tmp_path / "same", partition_of("", own)).verify().errors == []
    for number, (change, why) in enumerate((
        (partition_of("0" * 64, own), "does not contain"),
        (partition_of("", own, "usr.roothash"), "does not contain"),
        (partition_of("", "no"), "does not contain"),
    )):  # fmt: skip
        [error] = released(tmp_path / str(number), change).verify().errors
        assert str(error.where) == "boot/usr.verity-sig" and why in error.what
    project = released(tmp_path / "foreign", partition_of("", "ab" * 32))
    assert any("not in the trust root" in line for line in project.verify().held)
    project = released(tmp_path / "other", partition_of("", fingerprint("db")))
    (project.keys / f"verity-{fingerprint('db')[:16]}.crt").write_bytes(certificate_pem("db"))
    [error] = project.verify().errors
    assert "did not sign" in error.what


def test_an_update_without_the_signature(tmp_path: Path) -> None:
    def change(project: Project, build: Build) -> None:
        partition = project.place / "boot/usr.verity-sig"
        away = partition.rename(project.place.parent / "away")
        update(project.place, build)
        away.rename(partition)

    [error] = released(tmp_path, change).verify().errors
    assert "boot/usr.verity-sig must be in both" in error.what


def test_an_update_index_for_another_architecture(tmp_path: Path) -> None:
    def change(project: Project, build: Build) -> None:
        path = project.place / "update/index.payload.json"
        index = parse_index(path.read_bytes(), path).model_copy(update={"architecture": "aarch64"})
        path.write_bytes(index.payload())

    errors = released(tmp_path, change).verify().errors
    assert {error.what for error in errors} == {"it describes acme 1.0.0 for aarch64"}


def stated(change: Callable[[dict[str, str], Project], None], version: str = "1.0.0") -> Change:
    """Provenance about all files, and something else."""

    def state(project: Project, build: Build) -> None:
        names = dict.fromkeys(paths(project.place))
        about = {name: digest_file(project.place / name) for name in names}
        change(about, project)
        whose = Made({"settings": {"id": "acme"}}, {"version": version}, [], {})
        made = make_statement(whose, about)
        (project.place / "provenance.payload.json").write_bytes(made)

    return state


def test_what_the_provenance_is_about(tmp_path: Path) -> None:
    project = released(tmp_path / "right", stated(lambda about, project: None))
    report = project.verify()
    assert report.errors == []
    assert any(line.startswith("provenance.json: signed by") for line in report.held)
    uki = "boot/acme_1.0.0.efi"
    for number, (change, why) in enumerate((
        (lambda about, _: about.update({uki: "0" * 64}), "differs from the release"),
        (lambda about, _: about.update({"update/index.payload.json": "0" * 64}), "differs from the release"),
        (lambda about, _: about.update({"update/index.json": "0" * 64}), "differs from the release"),
        (lambda about, _: about.update({"qemu/none": "0" * 64}), "differs from the release"),
        (lambda about, _: about.pop(uki), "not among its subjects"),
    )):  # fmt: skip
        [error] = released(tmp_path / str(number), stated(change)).verify().errors
        assert str(error.where) == "provenance.json" and why in error.what
    [error] = released(tmp_path / "old", stated(lambda about, project: None, "0.9.0")).verify().errors
    assert error.code is Code.RELEASE_INVALID and "0.9.0" in error.what


@pytest.mark.parametrize("payload", [b"no", b"[]", b"{}", b'{"subject": [3], "_type": ""}'])
def test_a_provenance_that_is_none(payload: bytes, tmp_path: Path) -> None:
    def change(project: Project, build: Build) -> None:
        (project.place / "provenance.payload.json").write_bytes(payload)

    [error] = released(tmp_path, change).verify().errors
    assert "no provenance statement" in error.what


def test_the_policy_s_images_and_items(project: Project) -> None:
    policy = project.keys / "policy.yaml"
    policy.write_text("image_ids: [acme]\nkeys: {release: {}, db: {items: [uki]}, verity: {items: [uki]}}\n")
    assert project.broken() == {"boot/systemd-bootx64.efi", "boot/usr.roothash"}
    policy.write_text("keys: {release: {items: [release-index]}, db: {}, verity: {}}\n")
    assert project.broken() == {"update/index.json", "update/1.0.0.json"}
    policy.write_text("keys: {release: {items: [update-index]}, db: {}, verity: {}}\n")
    with pytest.raises(ColvertError, match="for release-index"):
        project.verify()
    policy.write_text("image_ids: [other]\n")
    with pytest.raises(ColvertError, match="does not allow the image acme"):
        project.verify()


def test_an_update_file_that_holds_more_than_the_index_says(tmp_path: Path) -> None:
    """It is the release's own; what comes out of it is bounded all the same."""

    def change(project: Project, build: Build) -> None:
        path = project.place / "update/index.payload.json"
        index = parse_index(path.read_bytes(), path)
        usr = index.parts["usr"].model_copy(update={"size": 4096})
        parts = {**index.parts, "usr": usr}
        path.write_bytes(index.model_copy(update={"parts": parts}).payload())

    [error] = released(tmp_path, change).verify().errors
    assert error.code is Code.RELEASE_INVALID
    assert "does not decompress to the 4096 bytes of the usr" in error.what
