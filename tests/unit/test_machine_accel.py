"""Machine: the choice of the accelerator, as far as it needs no QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.machine import accel
from builder.machine.accel import Accel, Choice, choose


def test_without_the_device_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "KVM_DEVICE", tmp_path / "kvm")
    assert choose(tmp_path / "no-sdk", tmp_path).accel is Accel.TCG


def test_an_answer_is_kept_for_its_host_only(tmp_path: Path) -> None:
    cache = tmp_path / "kvm.json"
    key = {"boot": "1", "kernel": "6", "qemu": "10", "user": "0"}
    choice = Choice(Accel.KVM, "the firmware ran")
    accel._remember(cache, key, choice)
    assert accel._cached(cache, key) == choice
    assert accel._cached(cache, {**key, "boot": "2"}) is None
    assert [path.name for path in tmp_path.iterdir()] == ["kvm.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": {}, "accel": "xen", "reason": ""}', "7"])
def test_a_broken_record_counts_as_none(tmp_path: Path, text: str) -> None:
    cache = tmp_path / "kvm.json"
    cache.write_text(text)
    assert accel._cached(cache, {}) is None


def test_a_directory_that_takes_nothing_is_no_failure(tmp_path: Path) -> None:
    accel._remember(tmp_path / "missing" / "kvm.json", {}, Choice(Accel.TCG, ""))


def test_the_reason_is_qemus_own() -> None:
    said = b"BIOS 1\r\nKVM internal error. Suberror: 1\r\nemulation failure\r\n"
    assert accel._complaint(said) == "KVM internal error. Suberror: 1"
    assert accel._complaint(b"")


def test_only_kvm_shows_the_device() -> None:
    assert Accel.TCG.binds() == ()
    assert [bind.target for bind in Accel.KVM.binds()] == ["/dev/kvm"]
