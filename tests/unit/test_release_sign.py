"""What signs: Authenticode and PKCS#7 by digest alone, the policy, and the command with its few imports."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, x509
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding

from builder.cli.attach import cli as attach_cli
from builder.cli.sign import cli
from builder.describe import provenance
from builder.errors import Code, ColvertError
from builder.formats.hashtree import BLOCK, check_tree
from builder.pipeline.key import canonical, digest_bytes, digest_file
from builder.signing import authenticode
from builder.signing.attach import Done, Missing
from builder.signing.boot_signatures import BootSignatures
from builder.signing.phases import Build
from builder.signing.pkcs7 import Content, merge, sign_content, signers
from builder.signing.policy import read_policy
from builder.signing.request import Request, read_signatures, to_base64
from builder.signing.signers import open_signer
from builder.signing.trust import read_certificate, root_hash
from builder.tools.verity import signature_partition
from builder.updates import contents
from builder.updates import index as update_index
from builder.updates.contents import FILE, PROVENANCE_TYPE, paths
from builder.updates.dsse import pae, parse
from tests.conftest import ROOT
from tests.unit.signing import Project, hash_tree, make, private, program, write_keys

ALLOWED = {"asn1crypto", "cryptography", "click", "pydantic", "yaml"}
# what those bring themselves
THEIRS = {"pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "cffi"}
ROOMS = {"arch", "cli", "errors", "manifest", "pipeline", "signing", "texts", "updates"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys", ("db", "verity", "release", "db-b"))


def test_the_signer_imports_little() -> None:
    script = "import sys; old = set(sys.modules); import builder.cli.sign; print(*(set(sys.modules) - old))"
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    own = {name.split(".")[1] for name in told if name.startswith("builder.")}
    assert own == ROOMS
    assert not {"builder.cli.common", "builder.manifest.load", "builder.pipeline.store"} & set(told)
    others = {name.split(".")[0] for name in told if name[0] != "_"}
    others -= set(sys.stdlib_module_names) | {"builder", "cython_runtime"}
    assert others <= ALLOWED | THEIRS
    assert "cryptography" in others


def test_the_digest_leaves_out_what_signing_changes(keys: Path) -> None:
    pe = authenticode.parse_pe(program({".text": b"code", ".cmdline": b"quiet"}, size=5))
    digest, db = authenticode.digest(pe), read_certificate(keys / "db.crt")
    signed = authenticode.parse_pe(
        authenticode.attach(pe, [authenticode.sign(digest, db, private("db").sign)])
    )
    assert authenticode.digest(signed) == digest
    assert authenticode.signed_by(signed, [db]) == [db]
    assert signed.section(".cmdline") == b"quiet"
    assert len(signed.data) % 8 == 0
    assert authenticode.attach(signed, authenticode.signatures(signed)) == signed.data
    other = authenticode.parse_pe(program({".text": b"c0de", ".cmdline": b"quiet"}, size=5))
    assert authenticode.digest(other) != digest


def test_two_signatures_of_one_program(keys: Path) -> None:
    pe = authenticode.parse_pe(program({".text": b"code"}))
    certificates = [read_certificate(keys / f"{name}.crt") for name in ("db", "db-b")]
    made = [
        authenticode.sign(authenticode.digest(pe), one, private(name).sign)
        for name, one in zip(("db", "db-b"), certificates, strict=True)
    ]
    signed = authenticode.parse_pe(authenticode.attach(pe, made))
    assert authenticode.signed_by(signed, certificates) == certificates
    assert authenticode.signed_by(signed, certificates[1:]) == certificates[1:]


def test_programs_that_are_cut_off() -> None:
    whole = program({".text": b"code"})
    for size in (*range(0, 0x400, 7), 0):
        with pytest.raises(ColvertError):
            authenticode.signatures(authenticode.parse_pe(whole[:size]))


def test_no_bit_of_a_signature_is_free(keys: Path) -> None:
    """A changed message is refused or names nobody, wherever the bit is."""
    verity = read_certificate(keys / "verity.crt")
    content = root_hash("ab" * 32)
    whole = sign_content(content, verity, private("verity").sign)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        try:
            found = signers(bytes(changed), content, [verity])
        except ColvertError as error:
            assert error.code is Code.SIGNATURE_INVALID
            continue
        assert found == [], at
    for size in range(0, len(whole), 5):
        with pytest.raises(ColvertError):
            signers(whole[:size], content, [verity])


@pytest.mark.parametrize(
    ("content", "digest"),
    [
        (root_hash("ab" * 32), "82231ac10926cb205a0824c5747b01484080d2f818cd0df8b293226aab5383bd"),
        (authenticode.content("ab" * 32), "b70b89bed3d0a3a3ad1bd7cc900678e15076ab3b96092f8163047195aed9a2c3"),
    ],
)
def test_one_key_and_one_content_have_one_signature(content: Content, digest: str) -> None:
    """The bytes are a promise: a release that is signed again is the same release."""
    certificate = read_certificate(Path(__file__).parent / "golden/signer.crt")
    made = sign_content(content, certificate, lambda message: hashlib.sha512(message).digest() * 4)
    assert digest_bytes(made) == digest


def forged(data: bytes, how: str, other: bytes) -> bytes:
    """A PKCS#7 that is not as it was signed, though the one signature in it holds; openssl refuses most."""
    whole = cms.ContentInfo.load(data)
    inner = whole["content"]
    [info] = inner["signer_infos"]
    second = info.copy()
    if how == "stripped":
        del inner["certificates"]
    elif how == "emptied":
        inner["certificates"] = []
    elif how == "replaced":
        inner["certificates"] = [x509.Certificate.load(other)]
    elif how == "one more":
        inner["certificates"] = [*inner["certificates"], x509.Certificate.load(other)]
    elif how == "unsigned":
        info["unsigned_attrs"] = [{"type": "signing_time", "values": []}]
    else:
        second["signature"] = bytes(256)
        if how == "bogus":
            second["sid"].chosen["serial_number"] = 7
        inner["signer_infos"] = [info, second]
    return bytes(whole.dump(force=True))


@pytest.mark.parametrize(
    "how", ["stripped", "emptied", "replaced", "one more", "unsigned", "bogus", "second"]
)
@pytest.mark.parametrize("what", [root_hash("ab" * 32), authenticode.content("ab" * 32)])
def test_a_message_that_others_may_refuse(what: Content, how: str, keys: Path) -> None:
    db, other = (read_certificate(keys / f"{name}.crt") for name in ("db", "db-b"))
    whole = sign_content(what, db, private("db").sign)
    assert cms.ContentInfo.load(whole).copy().dump(force=True) == whole
    data = forged(whole, how, other.public_bytes(Encoding.DER))
    assert signers(whole, what, [db, other]) == [db]
    assert signers(data, what, [db, other]) == []


def test_several_signers_of_one_root_hash(keys: Path) -> None:
    content = root_hash("ab" * 32)
    found = [read_certificate(keys / f"{name}.crt") for name in ("db", "verity")]
    parts = [
        sign_content(content, one, private(name).sign)
        for name, one in zip(("db", "verity"), found, strict=True)
    ]
    both = merge(parts, content)
    assert both == merge(parts[::-1], content)
    assert merge(parts[:1], content) == parts[0]
    assert signers(both, content, found) == found
    # somebody unknown has signed it too: who checks with these certificates alone refuses it
    assert signers(both, content, found[:1]) == []
    assert signers(both, root_hash("cd" * 32), found) == []


def test_the_signature_partition() -> None:
    content = signature_partition("ab" * 32, "cd" * 32, b"signature")
    assert len(content) == 4096
    assert json.loads(content.rstrip(b"\0")) == {
        "rootHash": "ab" * 32, "certificateFingerprint": "cd" * 32, "signature": "c2lnbmF0dXJl"}  # fmt: skip


@pytest.mark.parametrize("blocks", [1, 2, 128, 129, 300])
def test_hash_trees(blocks: int, tmp_path: Path) -> None:
    data = b"".join(bytes([number % 251]) * BLOCK for number in range(blocks))
    tree, digest = hash_tree(data, b"salt")
    usr, path = tmp_path / "usr", tmp_path / "tree"
    usr.write_bytes(data)
    path.write_bytes(tree)
    assert check_tree(usr, path, digest) == ""
    assert check_tree(usr, path, "ab" * 32)
    usr.write_bytes(data[:-1] + b"\xff")
    assert check_tree(usr, path, digest)
    usr.write_bytes(data)
    path.write_bytes(tree[:-1] + b"\xff")
    assert check_tree(usr, path, digest)


# --- the command ---------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make(tmp_path)
    (made.keys / "policy.yaml").write_text(
        "image_ids: [acme]\nkeys:\n  db: {items: [uki, loader]}\n  verity: {}\n"
        "  release: {}\nstate: signed.json\n"
    )
    return made


def sign(project: Project, *words: str, given: str | None = None) -> tuple[int, str]:
    out = project.place.parent / "made.json"
    options = ["--policy", str(project.keys / "policy.yaml"), "--out", str(out)]
    done = CliRunner().invoke(cli, [str(project.place / "request.json"), *words, *options], input=given)
    return done.exit_code, done.output


def key(project: Project, *names: str) -> list[str]:
    return [word for name in names for word in ("--key", f"{name}={project.keys / name}.key")]


def test_it_shows_asks_and_signs(project: Project) -> None:
    code, said = sign(project, *key(project, "db", "verity"), given="n\n")
    assert code == 2 and "uki (authenticode) with db" in said and "nothing was signed" in said
    assert not (project.place.parent / "made.json").exists()
    assert not (project.keys / "signed.json").exists()
    code, _ = sign(project, *key(project, "db", "verity"), given="y\n")
    assert code == 0
    assert isinstance(project.attach(project.place.parent / "made.json"), Missing)
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 0 and "root_hash: " in said
    assert project.attach(project.place.parent / "made.json") == Done()


def test_versions_grow(project: Project, tmp_path: Path) -> None:
    assert sign(project, *key(project, "db"), "--yes")[0] == 0
    # the same again is no harm
    assert sign(project, *key(project, "db"), "--yes")[0] == 0
    older = make(tmp_path / "older", "0.9.0")
    moved = Project(older.place, project.keys, "0.9.0")
    code, said = sign(moved, *key(project, "db"), "--yes")
    assert code == 2 and "older than 1.0.0" in said
    request = project.place / "request.json"
    request.write_text(request.read_text().replace(project.request.items[0].digest, "ab" * 32))
    code, said = sign(project, *key(project, "db"), "--yes")
    assert code == 2 and "signed already with another digest" in said


def changed(project: Project, version: str, digest: str, name: str = "uki") -> Project:
    """The request with another version and content."""
    whole = json.loads((project.place / "request.json").read_text())
    whole["version"], whole["items"][0]["digest"], whole["items"][0]["name"] = version, digest, name
    (project.place / "request.json").write_text(json.dumps(whole))
    return project


def test_one_version_has_one_content(project: Project) -> None:
    """Not under a name that is none, nor under a version that is another way to write the same."""
    words = (*key(project, "db"), "--yes")
    assert sign(project, *words)[0] == 0
    code, said = sign(changed(project, "1.0.0", "ab" * 32, "uki2"), *words)
    assert code == 2 and "uki, loader" in said
    for other in ("1.00.0", "01.0.0", "1.0.00"):
        code, said = sign(changed(project, other, "ab" * 32), *words)
        assert code == 2 and "1.0.0, which is signed already" in said
    code, said = sign(changed(project, "1.0.0", "ab" * 32), *words)
    assert code == 2 and "signed already with another digest" in said
    assert sign(changed(project, "1.0.1", "ab" * 32), *words)[0] == 0


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("image_ids: [other]\n", "the policy allows other"),
        ("kinds: [dsse]\n", "does not allow items of kind authenticode"),
        ("keys: {release: {}}\n", "does not allow the key db"),
        ("keys: {db: {items: [loader]}}\n", "only for loader"),
        ("keys:\n  db: {thresold: 2}\n", ":2:8"),
        ("kinds: [dss]\n", ":1:9"),
        ("image_ids: [acme\n", ":2:1"),
    ],
)
def test_what_does_not_fit_the_policy(policy: str, why: str, project: Project) -> None:
    (project.keys / "policy.yaml").write_text(policy)
    code, said = sign(project, *key(project, "db"), "--yes")
    assert code == 2 and why in said
    assert not (project.place.parent / "made.json").exists()


def test_keys_that_do_not_fit(project: Project) -> None:
    assert "requires the key spare" in sign(project, "--key", f"spare={project.keys}/db.key", "--yes")[1]
    wrong = ["--key", f"db={project.keys}/verity.key", "--cert", f"db={project.keys}/db.crt"]
    assert "belongs to another key" in sign(project, *wrong, "--yes")[1]
    (project.keys / "db.crt").unlink()
    assert "--cert db=FILE" in sign(project, *key(project, "db"), "--yes")[1]
    assert "not a PEM private key" in sign(project, "--key", f"db={project.keys}/policy.yaml", "--yes")[1]
    assert "duplicate db" in sign(project, *key(project, "db", "db"), "--yes")[1]


def test_a_release_with_development_keys_is_not_signed(project: Project) -> None:
    """A policy that names keys knows no key of a checkout."""
    project.attach(project.sign("db", "verity"))
    (project.keys / "policy.yaml").write_text("keys: {release: {}, db: {}}\n")
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 2 and "does not allow: verity" in said


def test_an_envelope_around_something_else(project: Project) -> None:
    """The update index's name around the release index."""
    project.attach(project.sign("db", "verity"))
    request = project.place / "request.json"
    whole = json.loads(request.read_text())
    whole["items"][1]["name"], whole["items"][0]["name"] = "update-index", "release-index"
    request.write_text(json.dumps(whole))
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 2 and said.count("unexpected payload type") == 2


def test_an_index_of_another_release_is_not_signed(project: Project, tmp_path: Path) -> None:
    """The request says 2.0, what is inside says 1.0."""
    project.attach(project.sign("db", "verity"))
    request = project.place / "request.json"
    whole = json.loads(request.read_text())
    whole["version"] = "2.0"
    request.write_text(json.dumps(whole))
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 2 and "the request acme 2.0" in said


STATEMENT = Path("provenance.payload.json")


def second_round(project: Project, **said: Any) -> None:
    """The release waits for its indexes, provenance among them."""

    def assemble(build: Build, request: Request, signatures: BootSignatures) -> None:
        project.assemble(build, request, signatures)
        place = project.place
        subjects = {name: digest_file(place / name) for name in paths(place) if name != str(STATEMENT)}
        made = provenance.Build(
            external={"settings": {"id": said.get("image_id", "acme")}},
            internal={"version": said.get("version", "1.0.0")},
            materials=(),
            versions={},
        )
        (place / STATEMENT).write_bytes(provenance.make_statement(made, subjects | said.get("more", {})))

    project.attach(project.sign("db", "verity"), assemble=assemble)


def put(project: Project, name: str, payload_type: str, payload: bytes) -> None:
    """Another payload into the request."""
    whole = json.loads((project.place / "request.json").read_text())
    [row] = [row for row in whole["items"] if row["name"] == name]
    row["payload_type"], row["content"] = payload_type, to_base64(payload)
    row["digest"] = digest_bytes(pae(payload_type, payload))
    (project.place / "request.json").write_text(json.dumps(whole))


def test_provenance_of_the_release_is_signed(project: Project) -> None:
    second_round(project)
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 0 and "provenance (dsse)" in said
    assert project.attach(project.place.parent / "made.json") == Done()
    assert project.verify().errors == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"version": "0.9.0"}, "it describes acme 0.9.0"),
        ({"image_id": "other"}, "it describes other 1.0.0"),
        (
            {"more": {"qemu/acme.qcow2": "ab" * 32}},
            "it lists files that are not in the release index: 'qemu/acme.qcow2'",
        ),
        (
            {"more": {"qemu/\x1b[2J": "ab" * 32}},
            "it lists files that are not in the release index: 'qemu/\\x1b[2J'",
        ),
        ({"more": {"update/index.payload.json": "ab" * 32}}, "it lists files"),
    ],
)
def test_provenance_of_something_else_is_not_signed(said: dict[str, Any], why: str, project: Project) -> None:
    second_round(project, **said)
    code, told = sign(project, *key(project, "release"), "--yes")
    assert code == 2 and f"provenance: {why}" in told


@pytest.mark.parametrize("name", ["update-index", "release-index", "provenance"])
@pytest.mark.parametrize("payload_type", [PROVENANCE_TYPE, update_index.PAYLOAD_TYPE, contents.PAYLOAD_TYPE])
def test_a_name_has_one_kind_of_content(name: str, payload_type: str, project: Project) -> None:
    """A key that signs update indexes alone signs nothing else under that name."""
    second_round(project)
    (project.keys / "policy.yaml").write_text(
        f"keys: {{release: {{items: [{name}]}}, db: {{}}, verity: {{}}}}\n"
    )
    held = {item.payload_type: item.payload for item in project.request.items}
    whole = json.loads((project.place / "request.json").read_text())
    whole["items"] = [row for row in whole["items"] if row["name"] == name]
    (project.place / "request.json").write_text(json.dumps(whole))
    for payload in (held[payload_type], b"0123456789"):
        fits = whole["items"][0]["payload_type"] == payload_type and payload != b"0123456789"
        put(project, name, payload_type, payload)
        code, said = sign(project, *key(project, "release"), "--yes")
        assert code == (0 if fits else 2), said
        assert (
            fits
            or f"{name}: unexpected payload type" in said
            or (f"{name}: " in said and "Invalid JSON" in said)
        )


@pytest.mark.parametrize("what", ["architecture", "root_hash", "channel"])
def test_an_update_index_that_is_not_the_release_s(what: str, project: Project) -> None:
    second_round(project)
    item = next(item for item in project.request.items if item.name == "update-index")
    value = json.loads(item.payload)
    value[what] = "ab" * 32 if what == "root_hash" else "aarch64"
    put(project, item.name, item.payload_type, canonical(value))
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 2 and "update-index: it differs from the one listed in the release index" in said
    index = next(item for item in project.request.items if item.name == "release-index")
    listed = json.loads(index.payload)
    for row in listed["envelopes"]:
        if row["path"].startswith("update/"):
            row["sha256"] = digest_bytes(canonical(value))
    put(project, index.name, index.payload_type, canonical(listed))
    code, said = sign(project, *key(project, "release"), "--yes")
    assert ("update-index: its architecture or root hash" in said) == (what != "channel")
    assert code == 2


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a"), ("c", "a")])
def test_two_people_of_three_sign(order: tuple[str, str], tmp_path: Path) -> None:
    """Each where their own key is, by the commands; one of them is not enough, nor one of them twice."""
    project = make(tmp_path, names=("db", "verity", "release-a", "release-b", "release-c"))
    policy = project.keys / "policy.yaml"
    policy.write_text("keys: {db: {}, verity: {}, release: {holders: [a, b, c], threshold: 2}}\n")
    trust = tmp_path / "trust"
    trust.mkdir()
    for path in (*project.keys.glob("*.crt"), *project.keys.glob("*.pem"), policy):
        shutil.copy(path, trust)

    def answer(name: str) -> str:
        home = tmp_path / name
        home.mkdir()
        for path in (project.place / "request.json", policy):
            shutil.copy(path, home)
        shutil.move(project.keys / f"release-{name}.key", home / "own.key")
        words = [home / "request.json", "--policy", home / policy.name, "--key", f"release={home}/own.key"]
        done = CliRunner().invoke(cli, [*map(str, words), "--yes", "--out", str(home / "made.json")])
        assert done.exit_code == 0, done.output
        return str(home / "made.json")

    def attach(*files: str) -> str:
        done = CliRunner().invoke(attach_cli, [str(project.place), *files, "--trust", str(trust), "--quiet"])
        assert done.exit_code == 0, done.output
        return done.output

    project.attach(project.sign("db", "verity"))
    first, second = (answer(name) for name in order)
    for given in ((first,), (first, first), ()):
        assert "release-index: 1 of 2 signatures by release" in attach(*given)
        with pytest.raises(ColvertError, match="not signed"):
            project.verify()
    assert "signed" in attach(second)
    assert project.verify().errors == []
    envelope = parse((project.place / FILE).read_bytes())
    ids = {private(f"release-{name}").public.id for name in order}
    assert {one.keyid for one in envelope.signatures} == ids
    # one of the two taken out again
    left = envelope.model_copy(update={"signatures": envelope.signatures[:1]})
    (project.place / FILE).write_bytes(left.to_bytes())
    with pytest.raises(ColvertError, match="1 of 2"):
        project.verify()


DEEP = b"[" * 200_000


def test_what_is_shown_cannot_look_like_something_else(project: Project) -> None:
    """A statement may have keys of its own; they are told as they are written."""
    second_round(project)
    item = project.request.items[1]
    assert item.name == "provenance"
    trick = {"\x1b[2K\rroot_hash": "ab" * 32, "version: '9.9.9'\n    x": 1, "name\u202e": [1]}
    payload = json.dumps({**json.loads(item.payload), **trick}).encode()
    release = json.loads(project.request.items[2].payload)
    for row in release["envelopes"]:
        if row["path"] == "provenance.json":
            row["sha256"] = digest_bytes(payload)
    put(project, "provenance", item.payload_type, payload)
    put(project, "release-index", contents.PAYLOAD_TYPE, canonical(release))
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 0 and said.isascii() and "\x1b" not in said and "\r" not in said
    assert r"'\x1b[2K\rroot_hash': " in said and r"""\n    x": 1""" in said


def test_a_value_that_is_there_twice(project: Project) -> None:
    """What is shown, and remembered, is what machines read."""
    second_round(project)
    for item in project.request.items[::2]:
        put(project, item.name, item.payload_type, item.payload.replace(b"{", b'{"version":"9.9",', 1))
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 2 and said.count("not canonical JSON") == 2


@pytest.mark.parametrize("payload", [DEEP, b'{"a":' * 200_000, b"1" * 200_000, b"\xff", b"{"])
@pytest.mark.parametrize("name", ["update-index", "provenance", "release-index"])
def test_content_that_no_parser_takes(name: str, payload: bytes, project: Project) -> None:
    second_round(project)
    put(
        project, name, next(item.payload_type for item in project.request.items if item.name == name), payload
    )
    code, said = sign(project, *key(project, "release"), "--yes")
    assert code == 2 and "Invalid JSON" in said


def test_files_that_no_parser_takes(project: Project) -> None:
    """Nested too deep, too large, or with a key that a terminal would obey."""
    request, policy, state = (project.place / "request.json", project.keys / "policy.yaml",
                              project.keys / "signed.json")  # fmt: skip
    for path in (request, policy, state):
        whole = path.read_bytes() if path.exists() else None
        for data in (DEEP, b'{"a":' * 200_000, b" " * (9 << 20), b'{"\\u001b[2J": 1}', b"\xff\xfe"):
            path.write_bytes(data)
            code, said = sign(project, *key(project, "db"), "--yes")
            assert code == 2 and "error: " in said and "\x1b" not in said, (path, data[:9])
        path.unlink() if whole is None else path.write_bytes(whole)
    assert sign(project, *key(project, "db"), "--yes")[0] == 0
    given = project.place.parent / "given.json"
    for data in (DEEP, b" " * (9 << 20), b'{"\\u001b[2J": 1}'):
        given.write_bytes(data)
        with pytest.raises(ColvertError) as caught:
            project.attach(given)
        assert caught.value.code is Code.RELEASE_INVALID and "\x1b" not in str(caught.value)


def test_an_encrypted_key(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    path = tmp_path / "locked.key"
    locked = BestAvailableEncryption(b"secret")
    path.write_bytes(private("db").key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    asked = []

    def ask(question: str, variable: str) -> str:
        asked.append(variable)
        return "secret" if len(asked) == 1 else "wrong"

    assert open_signer(str(path), ask).public.id == private("db").public.id
    with pytest.raises(ColvertError, match="wrong passphrase"):
        open_signer(str(path), ask)
    assert asked == ["COLVERT_KEY_PASSPHRASE"] * 2


def test_indexes_are_signed_with_p256_too(tmp_path: Path) -> None:
    project = make(tmp_path, names=("db", "verity", "ec-release"))
    (project.keys / "ec-release.pem").rename(project.keys / "release.pem")
    project.attach(project.sign("db", "verity"))
    project.attach(project.sign("ec-release", as_name={"ec-release": "release"}))
    assert project.verify().errors == []


def test_signatures_are_the_same_each_time(project: Project) -> None:
    one, other = project.sign("db", "verity", out="1.json"), project.sign("db", "verity", out="2.json")
    assert read_signatures([one]) == read_signatures([other])


def test_an_empty_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("")
    assert read_policy(tmp_path / "policy.yaml").threshold("db") == 1
