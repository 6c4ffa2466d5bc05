"""Names of keys and certificates that cannot be used."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.signing import project_keys, trust


@pytest.mark.parametrize("name", ["", " ", "n" * 58, "é" * 29, "a\nb", "a\tb", "\udcff"])
def test_a_name_that_no_certificate_holds_is_refused_first(tmp_path: Path, name: str) -> None:
    with pytest.raises(ColvertError) as caught:
        project_keys.create(tmp_path / "deep" / "keys", name, project_keys.utc_now())
    assert caught.value.code is Code.USAGE
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_is_taken(tmp_path: Path) -> None:
    name = "n" * project_keys.MAX_NAME
    assert project_keys.create(tmp_path / "keys", name, project_keys.utc_now()).certificate("verity")


@pytest.mark.parametrize(
    "read", [trust.read_certificate, trust.read_known, lambda path: trust.read_trust([path])]
)
def test_a_certificate_on_an_unknown_curve_names_its_file(tmp_path: Path, read: object) -> None:
    key, path = tmp_path / "k", tmp_path / "x.crt"
    subprocess.run(["openssl", "ecparam", "-name", "secp224k1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=x", "-out", path], check=True
    )
    assert callable(read)
    with pytest.raises(ColvertError) as caught:
        read(path)
    assert caught.value.code is Code.USAGE
    assert caught.value.where and caught.value.where.file == str(path)
