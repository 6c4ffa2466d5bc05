"""The signing step on the default OS: built here, signed where only the signer is, attached, verified."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.pipeline.key import digest_file
from builder.sandbox.home import open_home
from builder.sandbox.run import hand_over
from builder.sandbox.sdk import Sdk
from builder.signing.request import read_request
from builder.updates.contents import FILE, REQUEST, paths
from builder.verify.image import verify_image
from tests.build.places import find_partition, workplace
from tests.releases import Variant
from tests.signer.root import SignerMachine, ensure_signer
from tests.signer.workspace import PIN, TOKEN, Desk
from tests.unit.signing import write_keys

VERSION = "1.0.0"
# bytes, "Sign" in the API reference of AWS KMS
MAX_MESSAGE = 4096
# the services answer at the sandbox's own loopback
KMS_ENV = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
}
MOTO = 'python3 -c \'from moto.server import main; main(["-p", "5000"])\''
# LocalStack's key service, without the rest of it
LOCALSTACK = """
import os
os.environ["SERVICES"] = "kms"
from localstack.aws.app import LocalstackAwsGateway
from rolo.gateway.wsgi import WsgiGateway
from werkzeug.serving import run_simple
run_simple("127.0.0.1", 5000, WsgiGateway(LocalstackAwsGateway()), threaded=True)
"""
SERVICES = {"moto": MOTO, "localstack": "PYTHONPATH=/opt/localstack python3 localstack_kms.py"}


@pytest.fixture(scope="module")
def desk(sdk: Sdk, packages: object) -> Iterator[Desk]:
    with contextmanager(workplace)() as work:
        made = Desk(work, SignerMachine(ensure_signer(open_home()), hand_over(work / "home")), sdk.root)
        write_keys(made.keys, ["db", "verity", "release"])
        made.open_keys()
        yield made


def build(desk: Desk, name: str) -> Path:
    """The release of these tests; the same bytes each time."""
    # the clock of the build is fixed: one store entry for all runs of the tests
    return desk.build(name, Variant(VERSION, epoch=1_790_000_000), ("qemu", "ec2"))


@pytest.fixture(scope="module")
def signed(desk: Desk) -> Path:
    """A release that was signed; attach was killed at random points on the way."""
    release = build(desk, "signed")
    first = desk.sign(release, "db", "verity")
    dice = random.Random(5)
    for _ in range(4):
        child = desk.attach(release, first)
        time.sleep(dice.uniform(0.5, 6))
        child.send_signal(signal.SIGKILL)
        child.communicate()
    desk.attached(release, first)
    desk.attached(release, desk.sign(release, "release"))
    return release


def content(release: Path) -> dict[str, str]:
    """Digests: two releases' raw disks of 8 GiB are too much for a machine's memory."""
    return {name: digest_file(release / name) for name in (*paths(release), FILE)}


def test_verify_finds_nothing(desk: Desk, signed: Path) -> None:
    report = desk.verifier(signed).run()
    assert report.errors == []
    assert any("all blocks" in line for line in report.held)


def test_the_same_without_being_killed_and_with_two_at_once(desk: Desk, signed: Path) -> None:
    release = build(desk, "again")
    files = [desk.sign(release, name) for name in ("verity", "db")]
    children = [desk.attach(release, file) for file in files]
    assert [child.communicate() and child.returncode for child in children] == [0, 0]
    desk.attached(release, desk.sign(release, "release"))
    assert content(release) == content(signed)


def test_others_agree(desk: Desk, signed: Path) -> None:
    """sbverify takes the programs, openssl the root hash's signature."""
    there = desk.machine.home / "boot"
    shutil.copytree(signed / "boot", there, dirs_exist_ok=True)
    said = desk.machine.run(
        f"""
        sbverify --cert keys/db.crt boot/colvert_{VERSION}.efi
        sbverify --cert keys/db.crt boot/systemd-bootx64.efi
        if sbverify --cert keys/verity.crt boot/colvert_{VERSION}.efi; then exit 9; fi
        openssl smime -verify -binary -inform DER -in boot/usr.roothash.p7s -content boot/usr.roothash \\
          -certfile keys/verity.crt -nointern -noverify
        openssl smime -verify -binary -inform DER -in boot/usr.roothash.p7s -content boot/usr.roothash \\
          -noverify
        """
    )
    assert said.stdout.count("Signature verification OK") == 2


def test_the_partition_holds_the_signature(desk: Desk, signed: Path) -> None:
    [disk] = (signed / "ec2").glob("*.raw")
    start, _ = find_partition(disk, f"colvert-usr-verity-sig_{VERSION}", sdk_root=desk.sdk_root)
    with disk.open("rb") as stream:
        stream.seek(start)
        found = json.loads(stream.read(1 << 20).rstrip(b"\0"))
    assert found["rootHash"] == (signed / "boot/usr.roothash").read_text()


@pytest.mark.parametrize("suffix", ["qemu/*.qcow2", "ec2/*.vmdk", "ec2/*.raw"])
def test_images_are_the_release_s(suffix: str, desk: Desk, signed: Path) -> None:
    [image] = signed.glob(suffix)
    report = verify_image(image, desk.verifier(signed), desk.sdk_root)
    assert report.errors == []


@pytest.mark.parametrize("label", ["usr", "usr-verity", "usr-verity-sig", "ESP"])
def test_one_bit_of_an_image(label: str, desk: Desk, signed: Path, tmp_path: Path) -> None:
    [disk] = (signed / "ec2").glob("*.raw")
    copy = desk.work / "copy.raw"
    subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
    name = label if label == "ESP" else f"colvert-{label}_{VERSION}"
    start, _ = find_partition(copy, name, sdk_root=desk.sdk_root)
    with copy.open("r+b") as stream:
        # in the ESP, well inside the UKI
        at = start + (100 if label != "ESP" else 6 << 20)
        stream.seek(at)
        old = stream.read(1)
        stream.seek(at)
        stream.write(bytes([old[0] ^ 1]))
    report = verify_image(copy, desk.verifier(signed), desk.sdk_root)
    wanted = {"usr-verity-sig": "signature partition"}.get(label, name)
    assert {str(error.where) for error in report.errors} == {wanted}
    copy.unlink()


def test_a_checkout_that_has_moved_on(desk: Desk) -> None:
    release = build(desk, "moved")
    request = release / REQUEST
    first = desk.sign(release, "db", "verity")
    record = release / ".signing/build.json"
    whole = json.loads(record.read_text())
    whole["overrides"]["name"] = "Another"
    record.write_text(json.dumps(whole))
    child = desk.attach(release, first)
    assert "builds another image than the signed one" in child.communicate()[1]
    assert child.returncode == 2
    assert [item.name for item in read_request(request).items] == ["uki", "loader", "usr-root-hash"]


def test_keys_in_a_token(desk: Desk, signed: Path) -> None:
    """RSA (two keys at once), P-256 and Ed25519 in SoftHSM; a key from a file gives the same bytes."""
    home = desk.machine.home
    first = next(path for path in (signed / ".signing").glob("*.request.json") if "uki" in path.read_text())
    shutil.copy(first, home / "first.json")
    shutil.copy(signed / REQUEST, home / "second.json")
    desk.machine.run(
        TOKEN
        + f"""
        export COLVERT_PKCS11_PIN={PIN}
        softhsm2-util --import keys/db.key --token acme --label db --id 01 --pin {PIN} > /dev/null
        softhsm2-util --import keys/verity.key --token acme --label verity --id 04 --pin {PIN} > /dev/null
        softhsm2-util --import keys/release.key --token acme --label release --id 05 --pin {PIN} > /dev/null
        tool="pkcs11-tool --module $COLVERT_PKCS11_MODULE --token-label acme --login --pin {PIN}"
        $tool --keypairgen --key-type EC:prime256v1 --label ec --id 02 > /dev/null
        $tool --keypairgen --key-type EC:edwards25519 --label ed --id 03 > /dev/null
        echo 'kinds: [authenticode, pkcs7-roothash, dsse]' > any.yaml
        one() {{ colvert-sign "$1" --policy any.yaml --yes --out "$2" "${{@:3}}"; }}
        one first.json token.json --key 'db=pkcs11:token=acme;object=db' --cert db=keys/db.crt
        one first.json file.json --key db=keys/db.key
        cmp token.json file.json
        one first.json two.json --key 'db=pkcs11:token=acme;object=db' --cert db=keys/db.crt \\
          --key 'verity=pkcs11:token=acme;object=verity' --cert verity=keys/verity.crt
        one second.json ec.json --key 'release=pkcs11:token=acme;id=%02'
        one second.json ed.json --key 'release=pkcs11:token=acme;object=ed'
        one second.json imported.json --key 'release=pkcs11:token=acme;object=release'
        one second.json plain.json --key release=keys/release.key
        cmp imported.json plain.json
        no() {{ if one second.json no.json --key "$1"; then exit 9; fi; }}
        COLVERT_PKCS11_PIN=9999 no 'release=pkcs11:token=acme;object=ed'
        no 'release=pkcs11:token=acme;object=none'
        test ! -e no.json
        """
    )
    assert len(json.loads((home / "two.json").read_text())["signatures"]) == 3
    assert len(json.loads((home / "ec.json").read_text())["signatures"]) == 3


@pytest.mark.parametrize("service", list(SERVICES))
def test_keys_of_aws_kms(service: str, desk: Desk, signed: Path) -> None:
    """Signatures are checked by the signer before it gives them away.

    What is longer than the service takes goes there as a digest. moto hashes that once more, LocalStack
    signs it as AWS does.
    """
    home = desk.machine.home
    request = json.loads((signed / REQUEST).read_text())
    long = {item.name for item in read_request(signed / REQUEST).items if len(item.message) > MAX_MESSAGE}
    assert "provenance" in long
    if service == "moto":
        request["items"] = [item for item in request["items"] if item["name"] not in long]
    (home / "second.json").write_text(json.dumps(request))
    (home / "localstack_kms.py").write_text(LOCALSTACK)
    (home / "make.py").write_text(
        "import boto3, sys\n"
        "client = boto3.client('kms')\n"
        "print(client.create_key(KeyUsage='SIGN_VERIFY', KeySpec=sys.argv[1])['KeyMetadata']['KeyId'])\n"
    )
    desk.machine.run(
        f"""
        {SERVICES[service]} > service.log 2>&1 &
        until (: < /dev/tcp/127.0.0.1/5000) 2>/dev/null; do
          kill -0 $! || {{ cat service.log >&2; exit 8; }}
          sleep 0.2
        done
        echo 'kinds: [dsse]' > any.yaml
        for spec in RSA_2048 ECC_NIST_P256; do
          key=$(python3 make.py $spec)
          colvert-sign second.json --policy any.yaml --yes --out kms-$spec.json --key "release=awskms:$key"
        done
        if colvert-sign second.json --policy any.yaml --yes --out no.json --key release=awskms:none; then
          exit 9
        fi
        key=$(python3 make.py ECC_NIST_P384)
        if colvert-sign second.json --policy any.yaml --yes --out no.json --key "release=awskms:$key"; then
          exit 10
        fi
        test ! -e no.json
        """,
        env=KMS_ENV,
    )
    for spec in ("RSA_2048", "ECC_NIST_P256"):
        made = json.loads((home / f"kms-{spec}.json").read_text())
        assert len(made["signatures"]) == len(request["items"])


def test_the_policy_s_memory_refuses_an_older_version(desk: Desk, signed: Path) -> None:
    whole = json.loads((signed / REQUEST).read_text())
    whole["version"] = "0.9.0"
    (desk.machine.home / "old.json").write_text(json.dumps(whole))
    done = desk.machine.run(
        "colvert-sign old.json --policy keys/policy.yaml --out no.json --yes --key release=keys/release.key",
        check=False,
    )
    assert done.returncode == 2
    assert not (desk.machine.home / "no.json").exists()


def test_a_release_without_its_index_is_not_signed(desk: Desk) -> None:
    release = desk.work / "moved/out" / VERSION
    with pytest.raises(ColvertError) as caught:
        desk.verifier(release).run()
    assert caught.value.code is Code.RELEASE_INVALID
    assert os.listdir(release)
