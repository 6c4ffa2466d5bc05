"""Project keys: what `colvert keys` makes, replaces and revokes."""

from __future__ import annotations

import json
import shutil
import stat
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import Certificate

from builder.cli.main import cli
from builder.errors import Code, ColvertError
from builder.signing.project_keys import (
    SIGNED_BY,
    ProjectKeys,
    create,
    development_keys,
    read_certificate,
)
from builder.signing.rotation import revoke, revoke_key, rotate
from builder.signing.signature_list import (
    ATTRIBUTES,
    VENDORS,
    Signature,
    content_of,
    read_signatures,
    signature_lists,
    signed_at,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PRIVATE = {"PK.key", "KEK.key", "db.key", "verity.key", "release.key"}
PUBLIC = {
    "PK.crt",
    "KEK.crt",
    "db.crt",
    "verity.crt",
    "release.pem",
    "PK.auth",
    "KEK.auth",
    "db.auth",
    "README.md",
}
DIGEST = Signature.digest(bytes(range(32)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose RSA keys took their time."""
    return create(tmp_path_factory.mktemp("made") / "keys", "Acme", NOW).directory


@pytest.fixture
def keys(made: Path, tmp_path: Path) -> ProjectKeys:
    """A copy that a test may change."""
    return ProjectKeys(Path(shutil.copytree(made, tmp_path / "keys")))


def names(keys: ProjectKeys) -> set[str]:
    return {path.name for path in keys.directory.iterdir()}


def signed_by(path: Path, name: str, certificate: Certificate) -> bool:
    """Whether a .auth file carries the certificate's signature over all that UEFI says is signed."""
    auth = path.read_bytes()
    (length,) = struct.unpack_from("<I", auth, 16)
    # without attributes, the signature is the last thing in SignedData
    signature = auth[16 + length - 256 : 16 + length]
    what = name.encode("utf-16-le") + VENDORS[name].bytes_le + struct.pack("<I", ATTRIBUTES)
    what += auth[:16] + auth[16 + length :]
    public = certificate.public_key()
    assert isinstance(public, RSAPublicKey)
    try:
        public.verify(signature, what, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def test_the_set_is_always_the_same_and_private_halves_are_the_owners(keys: ProjectKeys) -> None:
    assert names(keys) == PRIVATE | PUBLIC
    assert stat.S_IMODE(keys.directory.stat().st_mode) == 0o700
    for name in PRIVATE:
        assert stat.S_IMODE((keys.directory / name).stat().st_mode) == 0o600


def test_nothing_is_overwritten(keys: ProjectKeys) -> None:
    before = {name: (keys.directory / name).read_bytes() for name in PRIVATE}
    with pytest.raises(ColvertError) as caught:
        create(keys.directory, "Acme", NOW)
    assert caught.value.code is Code.USAGE
    assert {name: (keys.directory / name).read_bytes() for name in PRIVATE} == before


def test_each_variable_is_signed_by_the_key_that_may_change_it(keys: ProjectKeys) -> None:
    revoke(keys, DIGEST, NOW)
    for name, signer in SIGNED_BY.items():
        path = keys.directory / f"{name}.auth"
        for other in ("PK", "KEK", "db"):
            assert signed_by(path, name, keys.certificate(other)) == (other == signer)


def test_a_variable_holds_its_certificate(keys: ProjectKeys) -> None:
    for name in ("PK", "KEK", "db"):
        content = content_of((keys.directory / f"{name}.auth").read_bytes())
        assert read_signatures(content) == (Signature.certificate(keys.certificate(name)),)


@pytest.mark.parametrize("name", ["KEK", "db", "verity"])
def test_a_rotated_key_leaves_the_earlier_certificate_believed(keys: ProjectKeys, name: str) -> None:
    old, old_private = keys.certificate(name), keys.private(name)
    kept = rotate(keys, name, NOW + timedelta(days=1))
    assert keys.certificate(name) != old
    assert keys.private(name).public_key() == keys.certificate(name).public_key()
    assert keys.private(name).public_key() != old_private.public_key()
    # a trust root knows NAME-ANY.crt as one more NAME
    assert kept.parent == keys.directory and kept.name.startswith(f"{name}-")
    assert (keys.directory / "earlier" / kept.with_suffix(".key").name).is_file()
    assert read_certificate(kept) == old
    assert keys.certificates(name) == (keys.certificate(name), old)
    assert names(keys) == PRIVATE | PUBLIC | {"earlier", kept.name}


def test_db_has_both_certificates_after_rotation(keys: ProjectKeys) -> None:
    old = keys.certificate("db")
    rotate(keys, "db", NOW + timedelta(days=1))
    wanted = (Signature.certificate(keys.certificate("db")), Signature.certificate(old))
    assert read_signatures(content_of((keys.directory / "db.auth").read_bytes())) == wanted
    assert read_signatures(keys.variables()["db"]) == wanted


def test_a_new_platform_key_comes_signed_by_the_old_one_too(keys: ProjectKeys) -> None:
    old = keys.certificate("PK")
    kept = rotate(keys, "PK", NOW + timedelta(days=1))
    assert signed_by(keys.directory / "PK.auth", "PK", keys.certificate("PK"))
    handed_over = keys.directory / "earlier" / kept.with_suffix(".auth").name
    assert signed_by(handed_over, "PK", old)
    # a machine has one owner
    for path in (keys.directory / "PK.auth", handed_over):
        assert read_signatures(content_of(path.read_bytes())) == (
            Signature.certificate(keys.certificate("PK")),
        )
    assert signed_by(keys.directory / "KEK.auth", "KEK", keys.certificate("PK"))


def test_the_release_key_is_rotated_too(keys: ProjectKeys) -> None:
    old = keys.release.id
    kept = rotate(keys, "release", NOW)
    assert kept.name == f"release-{old[:16]}.pem"
    assert ProjectKeys(keys.directory).release.id != old


def test_revoking_adds_and_never_takes_away(keys: ProjectKeys) -> None:
    certificate = Signature.certificate(keys.certificate("db"))
    assert revoke(keys, DIGEST, NOW)
    assert revoke(keys, certificate, NOW + timedelta(seconds=1))
    assert not revoke(keys, DIGEST, NOW + timedelta(seconds=2))
    assert keys.revoked() == (DIGEST, certificate)
    rotate(keys, "KEK", NOW + timedelta(seconds=3))
    assert keys.revoked() == (DIGEST, certificate)
    assert signed_by(keys.directory / "dbx.auth", "dbx", keys.certificate("KEK"))


def test_a_revoked_key_leaves_db_and_comes_into_dbx(keys: ProjectKeys) -> None:
    old = keys.certificate("db")
    kept = rotate(keys, "db", NOW + timedelta(days=1))
    revoke_key(keys, kept, NOW + timedelta(days=2))
    assert keys.revoked() == (Signature.certificate(old),)
    assert keys.certificates("db") == (keys.certificate("db"),)
    held = read_signatures(content_of((keys.directory / "db.auth").read_bytes()))
    assert held == (Signature.certificate(keys.certificate("db")),)
    assert read_certificate(keys.directory / "revoked" / kept.name) == old


def test_a_revoked_release_key_changes_no_firmware(keys: ProjectKeys) -> None:
    kept = rotate(keys, "release", NOW)
    revoke_key(keys, kept, NOW)
    assert (keys.directory / "revoked" / kept.name).is_file()
    assert not kept.exists()
    assert keys.revoked() == ()


@pytest.mark.parametrize("name", ["db.crt", "release.pem"])
def test_the_key_in_use_cannot_be_revoked(keys: ProjectKeys, name: str) -> None:
    with pytest.raises(ColvertError) as caught:
        revoke_key(keys, keys.directory / name, NOW)
    assert caught.value.code is Code.USAGE
    assert (keys.directory / name).exists()


def test_revoking_needs_no_platform_key(keys: ProjectKeys) -> None:
    before = (keys.directory / "KEK.auth").read_bytes()
    (keys.directory / "PK.key").unlink()
    revoke(keys, DIGEST, NOW + timedelta(days=1))
    rotate(keys, "db", NOW + timedelta(days=2))
    assert (keys.directory / "KEK.auth").read_bytes() == before
    assert keys.revoked() == (DIGEST,)


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"\xff" * 200])
def test_a_damaged_dbx_is_told(keys: ProjectKeys, content: bytes) -> None:
    (keys.directory / "dbx.auth").write_bytes(content)
    with pytest.raises(ColvertError) as caught:
        keys.revoked()
    assert caught.value.code is Code.USAGE


def test_the_development_keys_are_made_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: development_keys(tmp_path / ".colvert", NOW), range(4)))
    assert {one.directory for one in made} == {tmp_path / ".colvert/keys/development"}
    assert len({one.certificate("PK").serial_number for one in made}) == 1
    assert (tmp_path / ".colvert/.gitignore").read_text() == "*\n"


def test_lists_read_back(keys: ProjectKeys) -> None:
    both = (DIGEST, Signature.certificate(keys.certificate("db")))
    assert read_signatures(signature_lists(both, keys.owner)) == both


@pytest.mark.parametrize("cut", [1, 27, 30, 75])
def test_a_list_that_is_cut_off_is_none(keys: ProjectKeys, cut: int) -> None:
    whole = signature_lists([DIGEST], keys.owner)
    with pytest.raises(ValueError):
        read_signatures(whole[:cut])


def test_the_commands(tmp_path: Path, keys: ProjectKeys) -> None:
    def call(*words: str | Path) -> str:
        result = CliRunner().invoke(cli, ["keys", *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.output

    call("create", tmp_path / "new", "--name", "New")
    new = ProjectKeys(tmp_path / "new")
    assert new.certificate("db").subject.rfc4514_string() == "CN=New db"
    call("rotate", new.directory, "db")
    call("rotate", new.directory, "release")
    [old] = new.directory.glob("db-*.crt")
    call("revoke", new.directory, "--key", old)
    told = json.loads(call("show", new.directory, "--json"))
    assert [line["key"] for line in told] == ["PK", "KEK", "db", "verity", "release", "release", "dbx"]
    assert CliRunner().invoke(cli, ["keys", "create", str(new.directory)]).exit_code == 2
    assert CliRunner().invoke(cli, ["keys", "revoke", str(new.directory)]).exit_code == 2
    assert (
        CliRunner()
        .invoke(cli, ["keys", "revoke", str(new.directory), "--program", str(new.directory / "db.crt")])
        .exit_code
        == 2
    )


def test_a_directory_that_has_no_keys_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["keys", "show", str(tmp_path)])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_variable_is_newer_than_the_one_that_machines_have(keys: ProjectKeys) -> None:
    """A clock that stood in 2040 once, and two changes within one second."""
    path = keys.directory / "KEK.auth"
    path.write_bytes(struct.pack("<HBBBBB", 2040, 1, 1, 0, 0, 0) + path.read_bytes()[7:])
    rotate(keys, "KEK", NOW)
    assert signed_at(path.read_bytes()) == datetime(2040, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert signed_at((keys.directory / "db.auth").read_bytes()) == NOW + timedelta(seconds=1)
    revoke(keys, DIGEST, NOW)
    revoke(keys, Signature.digest(bytes(32)), NOW)
    assert signed_at((keys.directory / "dbx.auth").read_bytes()) == NOW + timedelta(seconds=1)


LAST_SECOND = struct.pack("<HBBBBB", 9999, 12, 31, 23, 59, 59)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 40, LAST_SECOND])
def test_a_damaged_variable_is_told(keys: ProjectKeys, content: bytes) -> None:
    (keys.directory / "db.auth").write_bytes(content)
    with pytest.raises(ColvertError) as caught:
        rotate(keys, "db", NOW)
    assert caught.value.where is not None
    assert caught.value.where.file.endswith("db.auth")
    assert names(keys) == PRIVATE | PUBLIC
