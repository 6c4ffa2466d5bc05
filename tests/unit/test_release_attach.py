"""Attach: signatures come back; killed anywhere it can be run again, and two of it wait for each other."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from builder.errors import Code, ColvertError
from builder.signing.attach import Attaching, BootSigned, Done, Missing
from builder.signing.boot_signatures import BootSignatures
from builder.signing.phases import begin, read_build
from builder.signing.pkcs7 import merge
from builder.signing.request import read_signatures, to_base64
from builder.signing.trust import read_certificate, read_trust, root_hash
from builder.updates.contents import FILE, REQUEST, KeyNames, paths
from builder.updates.keys import DEVELOPMENT
from tests.unit.signing import NAMES, Project, make, private, write_keys

WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}


def state(project: Project) -> dict[str, bytes]:
    """Every file of the release, and of its signing."""
    return {str(path): path.read_bytes() for path in sorted(project.place.rglob("*")) if path.is_file()}


def release(project: Project) -> dict[str, bytes]:
    """What is published."""
    return {name: (project.place / name).read_bytes() for name in (*paths(project.place), FILE)}


def refused(project: Project, *files: Path) -> ColvertError:
    """The error; nothing was written before it."""
    before = state(project)
    with pytest.raises(ColvertError) as caught:
        project.attach(*files)
    after = state(project)
    assert {name: data for name, data in after.items() if not name.endswith("/lock")} == {
        name: data for name, data in before.items() if not name.endswith("/lock")
    }
    return caught.value


def by(project: Project, name: str) -> Path:
    return project.sign(name, out=f"{name}.json", as_name={name: name.partition("-")[0]})


def write_policy(project: Project, **holders: str) -> None:
    """A policy of all keys, with the holders of some."""
    rows = [f"  {name}: {{holders: [{holders.get(name, '')}]}}\n" for name in NAMES]
    (project.keys / "policy.yaml").write_text("keys:\n" + "".join(rows))


def test_two_rounds_lead_to_a_signed_release(tmp_path: Path) -> None:
    project = make(tmp_path)
    assert [item.name for item in project.request.items] == ["uki", "loader", "usr-root-hash"]
    outcome = project.attach(project.sign("db", "verity"))
    assert isinstance(outcome, Missing)
    assert [line.partition(":")[0] for line in outcome.lines] == ["update-index", "release-index"]
    assert outcome.request == project.request
    assert [item.name for item in project.request.items] == ["update-index", "release-index"]
    assert not (project.place / FILE).exists()
    project.attach(project.sign("release"))
    assert project.verify().errors == []


def test_signatures_come_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a"), make(tmp_path / "b")
    one.sign_all()
    db, verity = other.sign("db", out="db.json"), other.sign("verity", out="verity.json")
    assert "uki: 0 of 1" in other.missing(verity)[0]
    other.attach(db, verity)
    last = other.sign("release", out="release.json")
    other.attach(last)
    assert release(one) == release(other)
    for again in ((verity, db), (last,), (), (db, last)):
        assert other.attach(*again) == Done()
        assert release(one) == release(other)


def test_boot_signatures_are_given_again_until_the_indexes_are_asked_for(tmp_path: Path) -> None:
    """A kill between the two costs one more assembly; nothing is asked for by taking."""
    project = make(tmp_path)
    attaching = Attaching(project.place, project.trust)
    files, request = [project.sign("db", "verity")], project.request
    signed = attaching.take(files)
    assert isinstance(signed, BootSigned) and signed.request == request
    programs, root_hashes = signed.signatures.programs, signed.signatures.root_hashes
    assert {name: len(made) for name, made in programs.items()} == {"uki": 1, "loader": 1}
    assert list(root_hashes) == ["usr-root-hash"]
    assert attaching.take([]) == attaching.take(files) == signed
    assert project.request == request


def test_a_release_built_again_takes_the_signatures_of_both_phases_again(tmp_path: Path) -> None:
    project = make(tmp_path).sign_all()
    before, build = release(project), read_build(project.place)
    project.assemble(build, project.request, BootSignatures())
    assert begin(build, project.place, None) is not None
    assert not (project.place / FILE).exists()
    assert project.attach() == Done()
    assert release(project) == before


def test_the_checkout_s_own_key_ends_a_release_that_is_attached_again(tmp_path: Path) -> None:
    """Boot keys of a project's own, indexes signed by the development key: there is no second request."""
    project, own = make(tmp_path), private("release")
    build = read_build(project.place).model_copy(
        update={"keys": KeyNames(usr="verity", secure_boot="db", release=DEVELOPMENT)}
    )
    begin(build, project.place, own)
    boot = project.sign("db", "verity")
    for files in ((boot,), (boot,), ()):
        assert project.attach(*files, own=own) == Done()
        assert (project.place / FILE).exists()
        assert not (project.place / REQUEST).exists()


def test_two_of_three_sign(tmp_path: Path) -> None:
    project = make(tmp_path, names=("db-a", "db-b", "db-c", "verity", "release-a", "release-b"))
    (project.keys / "policy.yaml").write_text(
        "keys: {db: {holders: [a, b, c], threshold: 2}, "
        "release: {holders: [a, b], threshold: 2}, verity: {}}\n"
    )
    a = project.sign("db-a", out="a.json", as_name={"db-a": "db"})
    b = project.sign("db-c", out="b.json", as_name={"db-c": "db"})
    verity = project.sign("verity", out="verity.json")
    assert project.missing(a, a, verity) == (
        "uki: 1 of 2 signatures by db", "loader: 1 of 2 signatures by db")  # fmt: skip
    project.attach(b)
    first = project.sign("release-a", out="1.json", as_name={"release-a": "release"})
    second = project.sign("release-b", out="2.json", as_name={"release-b": "release"})
    assert len(project.missing(second)) == 2
    assert project.attach(first) == Done()
    assert project.verify().errors == []
    (project.keys / "policy.yaml").write_text(
        "keys: {db: {holders: [a, b, c], threshold: 3}, "
        "release: {holders: [a, b], threshold: 2}, verity: {}}\n"
    )
    assert project.broken() == {"boot/acme_1.0.0.efi", "boot/systemd-bootx64.efi"}


@pytest.mark.parametrize(
    "rule",
    ["{threshold: 2}", "{holders: [a], threshold: 2}", "{holders: [a, a], threshold: 2}", "{holders: [A]}"],
)
def test_a_threshold_without_so_many_holders(rule: str, tmp_path: Path) -> None:
    project = make(tmp_path)
    (project.keys / "policy.yaml").write_text(f"keys:\n  release: {rule}\n")
    with pytest.raises(ColvertError, match=r"policy.yaml:2:"):
        project.attach()


def test_one_holder_counts_once(tmp_path: Path) -> None:
    """Neither with the key that was replaced, nor with one that has another purpose."""
    project = make(tmp_path, names=("db", "verity", "release", "release-a", "release-a2"))
    (project.keys / "policy.yaml").write_text(
        "keys: {db: {}, verity: {}, release: {holders: [a, b], threshold: 2}}\n"
    )
    project.attach(project.sign("db", "verity"))
    old = project.keys / f"release-{private('release').id[:16]}.pem"
    (project.keys / "release.pem").rename(old)
    assert project.missing(by(project, "release-a"))
    for name in ("release", "release-a2"):
        path = project.sign(name, out=f"{name}.json", as_name={name: "release"})
        assert "another key than release" in refused(project, path).what
    # the same key under two names, and two keys under one
    write_keys(project.keys, ["release-a"])
    (project.keys / "release-b.pem").write_bytes((project.keys / "release-a.pem").read_bytes())
    assert project.missing(by(project, "release-a"))
    write_keys(tmp_path / "more", ["release-b"])
    with pytest.raises(ColvertError, match="duplicate key release-b"):
        read_trust([project.keys, tmp_path / "more"])


def test_a_name_that_begins_like_another(tmp_path: Path) -> None:
    """What `keys rotate` leaves counts; a key of another name, or of somebody's making, does not."""
    project = make(tmp_path)
    project.attach(project.sign("db", "verity"))
    write_keys(project.keys, ["release-staging"])
    path = project.sign("release-staging", as_name={"release-staging": "release"})
    assert "another key than release" in refused(project, path).what
    staging = project.keys / "release-staging.pem"
    staging.rename(project.keys / "release-0123456789abcdef.pem")
    assert "another key than release" in refused(project, path).what
    (project.keys / "release-0123456789abcdef.pem").rename(
        project.keys / f"release-{private('release-staging').id[:16]}.pem"
    )
    assert project.attach(path) == Done()
    assert project.verify().errors == []


def test_a_certificate_that_was_replaced_still_counts(tmp_path: Path) -> None:
    """Under the name that `keys rotate` gives it, which is of the certificate."""
    keys = write_keys(tmp_path / "keys", ["db", "db-b"], private_too=False)
    digest = read_certificate(keys / "db.crt").fingerprint(SHA256()).hex()
    (keys / "db.crt").rename(keys / f"db-{digest[:16]}.crt")
    (keys / "db-b.crt").rename(keys / "db.crt")
    assert len(read_trust([keys]).certificates("db")) == 2
    (keys / f"db-{digest[:16]}.crt").rename(keys / f"db-{digest[:15]}.crt")
    assert len(read_trust([keys]).certificates("db")) == 1


def test_a_third_signer_after_the_assembly_is_too_late(tmp_path: Path) -> None:
    project = make(tmp_path, names=("db-a", "db-b", "verity", "release"))
    write_policy(project, db="a, b")
    late = project.sign("db-b", out="late.json", as_name={"db-b": "db"})
    project.attach(by(project, "db-a"), by(project, "verity"))
    assert "closed" in refused(project, late).what


@pytest.mark.parametrize("name", ["uki", "usr-root-hash"])
def test_truncated_signatures(name: str, tmp_path: Path) -> None:
    project = make(tmp_path)
    path = project.sign("db", "verity")
    whole = json.loads(path.read_text())
    [row] = [row for row in whole["signatures"] if row["name"] == name]
    value = row["value"]
    for length in (4, 400, len(value) // 8 * 4, len(value) - 4):
        row["value"] = value[:length]
        path.write_text(json.dumps(whole))
        assert refused(project, path).code is Code.SIGNATURE_INVALID
    path.write_text(path.read_text()[:200])
    assert refused(project, path).code is Code.RELEASE_INVALID


def test_a_signature_by_somebody_else_too(tmp_path: Path) -> None:
    """Both are keys of the trust root, but a message is by the one that it is said to be by."""
    project = make(tmp_path, names=("db", "verity", "verity-b", "release"))
    write_policy(project, verity="b, c")
    path = project.sign("verity-b", as_name={"verity-b": "verity"})
    write_keys(project.keys, ["verity-c"])
    whole, item = json.loads(path.read_text()), project.request.items[-1]
    other = project.sign("verity-c", out="c.json", as_name={"verity-c": "verity"})
    parts = [read_signatures([one])[0].signatures[0].data for one in (path, other)]
    whole["signatures"][0]["value"] = to_base64(merge(parts, root_hash(item.digest)))
    path.write_text(json.dumps(whole))
    assert "does not verify" in refused(project, path).what


def test_a_damaged_signature(tmp_path: Path) -> None:
    project = make(tmp_path)
    project.attach(project.sign("db", "verity"))
    path = project.sign("release")
    whole = json.loads(path.read_text())
    value = whole["signatures"][0]["value"]
    whole["signatures"][0]["value"] = ("B" if value[0] == "A" else "A") + value[1:]
    path.write_text(json.dumps(whole))
    assert "damaged" in refused(project, path).what


def test_a_foreign_key(tmp_path: Path) -> None:
    project = make(tmp_path)
    write_keys(project.keys, ["dbx"])
    path = project.sign("dbx", "verity", as_name={"dbx": "db"})
    assert "another key than db" in refused(project, path).what
    for file in project.keys.glob("dbx.*"):
        file.unlink()
    assert "not in the trust root" in refused(project, path).what


def test_a_key_for_another_purpose(tmp_path: Path) -> None:
    """The key of root hashes is trusted, but not for programs."""
    project = make(tmp_path)
    path = project.sign("verity", as_name={"verity": "db"})
    assert "another key than db" in refused(project, path).what


def test_a_revoked_key(tmp_path: Path) -> None:
    project = make(tmp_path)
    project.attach(project.sign("verity"))
    path = project.sign("db")
    write_keys(project.keys / "revoked", ["db"], private_too=False)
    assert "revoked" in refused(project, path).what
    (project.keys / "revoked/db.crt").unlink()
    project.attach(path)
    project.attach(project.sign("release"))
    write_keys(project.keys / "revoked", ["verity", "release"], private_too=False)
    assert "revoked" in refused(project).what


HOLDERS = ("db-a", "db-b", "verity", "release")


def test_a_key_is_revoked_before_the_others_sign(tmp_path: Path) -> None:
    """What it signed is passed over, and the rest is enough."""
    project = make(tmp_path, names=HOLDERS)
    write_policy(project, db="a, b")
    project.attach(by(project, "db-a"))
    write_keys(project.keys / "revoked", ["db-a"], private_too=False)
    first = project.missing()
    assert "uki: 0 of 1" in first[0] and "revoked" in first[0]
    assert project.missing(by(project, "verity")) == first[:2]
    assert isinstance(project.attach(by(project, "db-b")), Missing)
    assert project.attach(by(project, "release")) == Done()
    assert project.verify().errors == []


@pytest.mark.parametrize("gone", ["revoked", "removed"])
def test_a_key_is_revoked_after_the_assembly(gone: str, tmp_path: Path) -> None:
    """The boot has its signature; a new build has not, and takes the others' again."""
    project = make(tmp_path, names=HOLDERS)
    write_policy(project, db="a, b")
    project.attach(by(project, "db-a"), by(project, "verity"))
    if gone == "revoked":
        write_keys(project.keys / "revoked", ["db-a"], private_too=False)
    else:
        (project.keys / "db-a.crt").unlink()
    error = refused(project)
    assert gone in error.what or "not in the trust root" in error.what
    assert "build and attach again" in error.hint
    build = read_build(project.place)
    project.assemble(build, project.request, BootSignatures())
    assert begin(build, project.place, None) is not None
    assert "uki: 0 of 1" in project.missing()[0]
    assert isinstance(project.attach(by(project, "db-b")), Missing)
    assert project.attach(by(project, "release")) == Done()
    assert project.verify().errors == []


def test_the_key_of_the_indexes_is_revoked(tmp_path: Path) -> None:
    project = make(tmp_path).sign_all()
    write_keys(project.keys, ["release-b"])
    (project.keys / "release.pem").unlink()
    (project.keys / "release-b.pem").rename(project.keys / "release.pem")
    write_keys(project.keys / "revoked", ["release"], private_too=False)
    assert "release-index: 0 of 1" in project.missing()[1]
    assert project.attach(by(project, "release-b")) == Done()
    assert project.verify().errors == []


def test_signatures_of_another_request(tmp_path: Path) -> None:
    old, new = make(tmp_path, "1.0.0"), make(tmp_path, "1.1.0")
    assert "another request" in refused(new, old.sign("db", "verity")).what


def test_a_directory_that_no_build_left(tmp_path: Path) -> None:
    project = make(tmp_path)
    with pytest.raises(ColvertError) as caught:
        Project(tmp_path, project.keys, "1.0.0").attach()
    assert caught.value.code is Code.NOT_BUILT


def killed_at(project: Project, number: int, *files: Path) -> bool:
    """Attach in a child that is killed (SIGKILL) at its n-th change of a file; whether it was."""
    child = os.fork()
    if child == 0:
        left = number

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            opened = (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if event in WRITES or opened:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            project.attach(*files)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_killed_at_any_point_and_run_again(tmp_path: Path) -> None:
    wanted = release(make(tmp_path / "whole").sign_all())
    points = 0
    for number in range(200):
        project = make(tmp_path / str(number))
        first = project.sign("db", "verity", out="first.json")
        killed = killed_at(project, number, first)
        project.attach(first)
        second = project.sign("release", out="second.json")
        also = killed_at(project, number, second)
        assert project.attach(first, second) == Done()
        assert release(project) == wanted
        points += killed + also
        if not killed:
            break
    assert points > 20 and not killed


def test_two_at_once_wait_for_each_other(tmp_path: Path) -> None:
    project = make(tmp_path)
    files = [project.sign(name, out=f"{name}.json") for name in ("db", "verity")]
    project.attach(files[0])
    log = tmp_path / "log"

    def slow(*given: Any) -> None:
        with log.open("a") as stream:
            stream.write("begin\n")
        time.sleep(0.3)
        project.assemble(*given)
        with log.open("a") as stream:
            stream.write("end\n")

    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                project.attach(files[1], assemble=slow)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert log.read_text().split() in (["begin", "end"], ["begin", "end"] * 2)
    project.attach(project.sign("release"))
    assert project.verify().errors == []


def test_the_keys_of_these_tests_are_of_three_kinds() -> None:
    assert len({private(name).public.id for name in NAMES}) == 3
