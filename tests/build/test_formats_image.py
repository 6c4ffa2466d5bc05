"""Image formats, made by the SDK's tools, read back by others, and the same bytes every time."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.arch import DEFAULT
from builder.assembly.initrd import ALONE_FROM, LIST, OVERLAY, RELEASE, make_initrd
from builder.assembly.root import ETC
from builder.assembly.rules import ExtraFile, TreeRules, assemble
from builder.assembly.tree import PackageImage
from builder.boot import BootFiles
from builder.boot.esp import make_esp
from builder.boot.systemd_boot import LOADER
from builder.errors import Code, ColvertError
from builder.formats.cpio import TRAILER
from builder.formats.elf import read_elf
from builder.formats.gpt import MIB, Contents
from builder.pipeline.key import digest_content, digest_file
from builder.sandbox.sdk import Sdk
from builder.tools.erofs import ErofsSettings, make_erofs
from builder.tools.oem import make_oem
from builder.tools.sfdisk import make_disk
from builder.tools.uki import UkiParts, make_uki
from builder.tools.verity import make_verity
from builder.tools.workspace import bench
from tests.build.places import elsewhere, find_partition, read_table, workplace

EPOCH = 1_700_000_000
ESP_SIZE = 64 * MIB
EFI = "usr/lib/systemd/boot/efi"


work = pytest.fixture(workplace)


def twice(work: Path, make: Callable[[Path], object]) -> Path:
    """Make the same thing in two places and circumstances; returns the first, if both are equal."""
    first, second = work / "first" / "out", work / "an other" / "deeper" / "out"
    for path in (first, second):
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o755)
        path.parent.parent.chmod(0o755)
    make(first)
    with elsewhere():
        make(second)
    assert first.stat().st_size == second.stat().st_size
    assert digest_content(first, first.stat().st_size) == digest_content(second, second.stat().st_size)
    assert stat.S_IMODE(first.stat().st_mode) == stat.S_IMODE(second.stat().st_mode) == 0o644
    return first


def usr_tree(root: Path, sdk: Sdk, *, backwards: bool = False) -> Path:
    """A small /usr with a library, links, an empty file and files of several modes."""
    root.mkdir()
    root.chmod(0o755)
    library = (sdk.root / "usr/lib/x86_64-linux-gnu/libc.so.6").read_bytes()
    files: dict[str, tuple[bytes, int]] = {
        "lib/libc.so.6": (library, 0o755),
        "bin/su": (b"\x7fELF setuid" * 999, 0o4755),
        "share/empty": (b"", 0o644),
        "share/secret": (b"s", 0o600),
        "share/copy": (b"copy" * 5000, 0o644),
        "share/copy2": (b"copy" * 5000, 0o644),
    }
    for name in reversed(files) if backwards else files:
        content, mode = files[name]
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o755)
        path.write_bytes(content)
        path.chmod(mode)
    (root / "lib/libc.so").symlink_to("libc.so.6")
    return root


def test_erofs_is_the_tree_and_nothing_of_where_it_was_made(work: Path, sdk: Sdk) -> None:
    trees = [usr_tree(work / "a", sdk), usr_tree(work / "b", sdk, backwards=True)]
    image = twice(work, lambda out: make_erofs(trees.pop(0), out, sdk_root=sdk.root, epoch=EPOCH))
    with bench(work / "check", sdk.root, {"image": image}) as table:
        table.run(
            "fsck.erofs", f"--extract={table.target('tree')}", "--preserve-perms", table.source("image")
        )
        listed = table.run("dump.erofs", "-s", "--ls", "--path=/bin/su", table.source("image")).stdout
        made = table.work / "tree"
        assert (made / "lib/libc.so").readlink() == Path("libc.so.6")
        assert (made / "lib/libc.so.6").read_bytes() == (work / "a/lib/libc.so.6").read_bytes()
        assert stat.S_IMODE((made / "share/secret").stat().st_mode) == 0o600
        assert stat.S_IMODE((made / "bin/su").stat().st_mode) == 0o4755
    assert "Uid: 0" in listed


def test_erofs_that_does_not_fit(work: Path, sdk: Sdk) -> None:
    tree = usr_tree(work / "a", sdk)
    with pytest.raises(ColvertError) as caught:
        make_erofs(tree, work / "out", sdk_root=sdk.root, epoch=EPOCH, limit=4096)
    assert caught.value.code is Code.TOO_LARGE
    assert sorted(path.name for path in work.iterdir()) == ["a"], "nothing is left behind"


def test_erofs_compressions(work: Path, sdk: Sdk) -> None:
    tree = usr_tree(work / "a", sdk)
    made = {
        name: make_erofs(
            tree, work / name, sdk_root=sdk.root, epoch=EPOCH, settings=ErofsSettings(name, level)
        )
        for name, level in (("none", None), ("lz4", None), ("zstd", 3))
    }
    assert made["none"].size > made["lz4"].size > made["zstd"].size
    assert len({image.uuid for image in made.values()}) == 3


def test_verity_finds_every_changed_block(work: Path, sdk: Sdk) -> None:
    data = work / "data"
    data.write_bytes(os.urandom(1 << 20))
    hashes: list[str] = []

    def make(out: Path) -> None:
        hashes.append(make_verity(data, out, sdk_root=sdk.root, identity="colvert", version="1").root_hash)

    tree = twice(work, make)
    assert hashes[0] == hashes[1]
    other = make_verity(data, work / "x", sdk_root=sdk.root, identity="kiosk", version="1")
    assert other.root_hash != hashes[0]
    later = make_verity(data, work / "y", sdk_root=sdk.root, identity="colvert", version="2")
    assert later.root_hash == hashes[0], "the salt does not follow the version"
    assert later.path.read_bytes()[4096:] == tree.read_bytes()[4096:]
    assert later.path.read_bytes()[:4096] != tree.read_bytes()[:4096], "the UUID does"
    with bench(work / "check", sdk.root, {"data": data, "tree": tree}) as table:
        words = ("veritysetup", "verify", table.source("data"), table.source("tree"), hashes[0])
        table.run(*words)
        content = bytearray(data.read_bytes())
        content[-1] ^= 1
        data.write_bytes(content)
        with pytest.raises(ColvertError):
            table.run(*words)


def test_esp_reads_back(work: Path, sdk: Sdk) -> None:
    uki = work / "uki"
    uki.write_bytes(b"uki" * 100_000)
    boot = BootFiles(DEFAULT, sdk.root / EFI / "systemd-bootx64.efi", uki, "colvert_1+3.efi")
    image = twice(
        work,
        lambda out: make_esp(
            LOADER, boot, out, sdk_root=sdk.root, size=ESP_SIZE, epoch=EPOCH, identity="colvert 1"
        ),
    )
    with bench(work / "check", sdk.root, {"esp": image}) as table:
        esp = table.source("esp")
        table.run("fsck.vfat", "-n", esp)
        names = table.run("mdir", "-/", "-b", "-i", esp).stdout.split()
        assert sorted(name for name in names if not name.endswith("/")) == [
            "::/EFI/BOOT/BOOTX64.EFI",
            "::/EFI/Linux/colvert_1+3.efi",
            "::/EFI/systemd/systemd-bootx64.efi",
            "::/loader/loader.conf",
        ]
        assert "timeout 0" in table.run("mtype", "-i", esp, "::/loader/loader.conf").stdout
        table.run("mcopy", "-i", esp, "::/EFI/Linux/colvert_1+3.efi", table.target("uki"))
        assert (table.work / "uki").read_bytes() == uki.read_bytes()
    assert image.stat().st_blocks * 512 < 4 * MIB


def test_uki_too_large_for_the_esp(work: Path, sdk: Sdk) -> None:
    uki = work / "uki"
    with uki.open("wb") as stream:
        stream.truncate(ESP_SIZE)
    boot = BootFiles(DEFAULT, sdk.root / EFI / "systemd-bootx64.efi", uki, "colvert_1+3.efi")
    with pytest.raises(ColvertError) as caught:
        make_esp(LOADER, boot, work / "out", sdk_root=sdk.root, size=ESP_SIZE, epoch=EPOCH, identity="x")
    assert caught.value.code is Code.TOO_LARGE


def test_oem_reads_back(work: Path, sdk: Sdk) -> None:
    contents = []
    for number, names in enumerate((["b", "a", "c"], ["a", "c", "b"])):
        folder = work / f"content{number}"
        folder.mkdir()
        folder.chmod(0o755)
        for name in names:
            (folder / name).write_text(name * 100)
            (folder / name).chmod(0o644)
            os.utime(folder / name, (number, number))
        contents.append(folder)

    def make(out: Path) -> None:
        make_oem(contents.pop(0), out, sdk_root=sdk.root, size=256 * MIB, epoch=EPOCH, identity="colvert 1 x")

    image = twice(work, make)
    with bench(work / "check", sdk.root, {"oem": image}) as table:
        table.run("e2fsck", "-fn", table.source("oem"))
        assert table.run("debugfs", "-R", "cat /b", table.source("oem")).stdout == "b" * 100
        owner = table.run("debugfs", "-R", "stat /b", table.source("oem")).stdout
    assert "User:     0" in owner
    assert image.stat().st_blocks * 512 < 8 * MIB


@pytest.fixture
def disk(work: Path, sdk: Sdk) -> Path:
    """A whole disk with small contents."""
    usr, verity, esp, oem = (work / name for name in ("usr", "verity", "esp", "oem"))
    usr.write_bytes(b"usr" + bytes(4093) + b"end" * 1000)
    made = make_verity(usr, verity, sdk_root=sdk.root, identity="colvert 1")
    esp.write_bytes(b"esp" * 1000)
    make_oem(None, oem, sdk_root=sdk.root, size=256 * MIB, epoch=EPOCH, identity="colvert 1")
    contents = Contents(
        "colvert", "1", esp, usr, verity, made.data_uuid, made.hash_uuid, oem, architecture=DEFAULT
    )
    return twice(work, lambda out: make_disk(contents, out, sdk_root=sdk.root))


def test_disk_holds_what_it_says_where_it_says(work: Path, disk: Path, sdk: Sdk) -> None:
    table = read_table(disk, sdk_root=sdk.root)
    partitions = table["partitions"]
    assert isinstance(partitions, list)
    names = [entry["name"] for entry in partitions]
    usr = ["colvert-usr_1", "colvert-usr-verity_1", "colvert-usr-verity-sig_1"]
    assert names == ["ESP", "BIOS-BOOT", *usr, "_empty", "_empty", "_empty", "OEM"]
    assert [entry.get("attrs") for entry in partitions] == [None] * 2 + ["GUID:60"] * 3 + [None] * 4
    with disk.open("rb") as stream:
        for label, file in (("ESP", "esp"), (usr[0], "usr"), (usr[1], "verity")):
            start, _ = find_partition(disk, label, sdk_root=sdk.root)
            stream.seek(start)
            content = (work / file).read_bytes()
            assert stream.read(len(content)) == content, label
    assert disk.stat().st_size == 8 << 30
    assert disk.stat().st_blocks * 512 < 8 * MIB


def packages(work: Path, sdk: Sdk) -> list[PackageImage]:
    """Two packages with accounts, a library, a unit, and what steers an initrd."""
    library = (sdk.root / "usr/lib/x86_64-linux-gnu/libz.so.1").read_bytes()
    loader = (sdk.root / "usr/lib64/ld-linux-x86-64.so.2").read_bytes()
    files: dict[str, dict[str, bytes]] = {
        "a/base-1": {
            "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
            "etc/group": b"root:x:0:\n",
            "etc/shadow": b"root:*:::::::\n",
            "usr/lib/libz.so.1": library,
            "usr/lib/libc.so.6": (sdk.root / "usr/lib/x86_64-linux-gnu/libc.so.6").read_bytes(),
            "usr/lib/ld-linux-x86-64.so.2": loader,
        },
        "a/daemon-2": {
            "usr/lib/sysusers.d/daemon.conf": b'u! daemon 210 "A daemon"\ng helpers 211\nm daemon helpers\n',
            "usr/bin/daemon": (sdk.root / "usr/bin/true").read_bytes(),
            LIST: b"file usr/bin/daemon\ndlopen libz.so.1\ndir run/x 0700\n",
            f"{OVERLAY}/etc/hello": b"hello\n",
        },
    }
    images = []
    for cpv, content in files.items():
        image = work / cpv.replace("/", "_")
        for name, data in content.items():
            path = image / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o600 if name.endswith("shadow") else 0o755)
        images.append(PackageImage(cpv, image, ("MIT",)))
    return images


def test_tree_with_its_rules(work: Path, sdk: Sdk) -> None:
    text = work / "licence"
    text.write_text("free\n")
    rules = TreeRules(
        {"ID": "colvert"},
        EPOCH,
        files=(ExtraFile("/etc/motd", text="hi\n"),),
        licence_texts={"MIT": text, "GPL-2": text},
    )
    images = packages(work, sdk)
    digests = []
    for name, order in (("one", images), ("two", images[::-1])):
        (work / name).mkdir()
        (work / name).chmod(0o755)
        with elsewhere():
            report = assemble(
                order, work / name / "tree", rules, side=work / name / "side", sdk_root=sdk.root
            )
        made = make_erofs(work / name / "tree/usr", work / name / "usr.raw", sdk_root=sdk.root, epoch=EPOCH)
        digests.append((digest_file(made.path), report))
    assert digests[0] == digests[1]
    etc = work / "one/tree" / ETC
    assert "daemon:x:210:210:A daemon:/:/usr/sbin/nologin\n" in (etc / "passwd").read_text()
    assert "helpers:x:211:daemon\n" in (etc / "group").read_text()
    shadow = (etc / "shadow").read_text().splitlines()
    assert shadow[0] == "root:*:::::::"
    assert shadow[1].startswith(f"daemon:!*:{EPOCH // 86400}:")
    assert stat.S_IMODE((etc / "shadow").stat().st_mode) == 0o600
    assert (etc / "motd").read_text() == "hi\n"
    assert (work / "one/tree/usr/share/colvert/licences/MIT").read_text() == "free\n"
    assert not (work / "one/tree/usr/share/colvert/licences/GPL-2").exists()
    listed = json.loads((work / "one/tree/usr/share/colvert/packages.json").read_text())
    assert [item["package"] for item in listed["packages"]] == ["a/base-1", "a/daemon-2"]
    with bench(work / "check", sdk.root, {"etc": etc}) as table:
        cache = table.run("ldconfig", "-p", "-C", f"{table.source('etc')}/ld.so.cache").stdout
    assert "libz.so.1 (libc6,x86-64) => /lib/libz.so.1" in cache.replace("/usr/lib/", "/lib/")
    assert digests[0][1].owners[f"{ETC}/passwd"] == "rule:accounts"


def archives(data: bytes) -> Iterator[bytes]:
    """Each archive of those that follow one another, as the kernel would find them."""
    while data:
        end = data.index(TRAILER.encode()) + len(TRAILER)
        end += -end % 512
        yield data[:end]
        data = data[end:]


def test_a_licence_without_a_text_does_not_ship(work: Path, sdk: Sdk) -> None:
    rules = TreeRules({"ID": "colvert"}, EPOCH)
    with pytest.raises(ColvertError) as caught:
        assemble(packages(work, sdk), work / "tree", rules, side=work / "side", sdk_root=sdk.root)
    assert caught.value.code is Code.LICENCE_TEXT


def test_initrd_reads_back(work: Path, sdk: Sdk) -> None:
    text = work / "licence"
    text.write_text("free\n")
    rules = TreeRules({"ID": "colvert"}, EPOCH, licence_texts={"MIT": text})
    assemble(packages(work, sdk), work / "tree", rules, side=work / "side", sdk_root=sdk.root)
    image = twice(
        work,
        lambda out: make_initrd(work / "tree", work / "side", out, sdk_root=sdk.root, epoch=EPOCH, level=3),
    )
    with bench(work / "check", sdk.root, {"initrd": image}) as table:
        table.run("zstd", "-q", "-d", "-o", table.target("initrd.cpio"), table.source("initrd"))
        archive = (table.work / "initrd.cpio").read_bytes()
        names: list[str] = []
        for part in archives(archive):
            names += table.run("cpio", "-t", "--quiet", stdin=part).stdout.split()
    assert len(names) == len(set(names)), "nothing is in two archives"
    assert names[-1] == RELEASE, "what differs in every version comes last"
    files = {name: work / "tree" / name for name in names if (work / "tree" / name).is_file()}
    large = [
        name for name, path in files.items() if not path.is_symlink() and path.stat().st_size >= ALONE_FROM
    ]
    assert names[-1 - len(large) : -1] == sorted(large) and large
    assert {
        "init",
        "usr/bin/daemon",
        "usr/lib/libz.so.1",
        "usr/lib/ld-linux-x86-64.so.2",
        "etc/hello",
        "run/x",
    } <= set(names)
    elf = read_elf(work / "tree/usr/bin/daemon")
    assert elf is not None
    assert {f"usr/lib/{name}" for name in elf.needed} <= set(names)


def test_uki_holds_its_parts(work: Path, sdk: Sdk) -> None:
    initrd, release = work / "initrd", work / "os-release"
    initrd.write_bytes(b"initrd" * 1000)
    release.write_text("ID=colvert\nPRETTY_NAME=Colvert\n")
    efi = sdk.root / EFI
    parts = UkiParts(
        DEFAULT,
        efi / "systemd-bootx64.efi",
        initrd,
        f"usrhash={'ab' * 32} quiet",
        release,
        "6.12.1",
        efi / "linuxx64.efi.stub",
    )
    image = twice(work, lambda out: make_uki(parts, out, sdk_root=sdk.root))
    with bench(work / "check", sdk.root, {"uki": image}) as table:
        told = json.loads(table.run("ukify", "inspect", table.source("uki"), "--json=short").stdout)
    assert told[".cmdline"]["text"].rstrip("\0\n") == parts.cmdline
    assert told[".uname"]["text"] == "6.12.1"
    assert told[".initrd"]["size"] == 6000
    with pytest.raises(ColvertError) as caught:
        make_uki(parts, work / "x", sdk_root=sdk.root, limit=1000)
    assert caught.value.code is Code.TOO_LARGE
