"""tests/build: the kernel as built, against what systemd, container runtimes and hardening guides ask for.

The lists are data: names as those documents have them, each with its section. What we leave
out on purpose stands beside it with the reason.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from builder.build.session import Session
from builder.errors import Code, ColvertError
from builder.packages.package import IMAGE
from builder.packages.plan import Node
from builder.pipeline.ingest import ingest_files

MIB = 1 << 20

# README of systemd 257, "REQUIREMENTS", "Kernel Config Options" and the paragraphs that follow it
SYSTEMD = {
    "Kernel Config Options": (
        "DEVTMPFS CGROUPS INOTIFY_USER SIGNALFD TIMERFD EPOLL UNIX SYSFS PROC_FS FHANDLE"
    ),
    "udev rules and virtualization detection": "DMIID",
    "SCSI serial numbers": "BLK_DEV_BSG",
    "PrivateNetwork=": "NET_NS",
    "PrivateUsers=": "USER_NS",
    "strongly recommended": (
        "IPV6 AUTOFS_FS TMPFS_XATTR TMPFS_POSIX_ACL EXT4_FS_POSIX_ACL BTRFS_FS_POSIX_ACL "
        "SECCOMP SECCOMP_FILTER KCMP NET_SCHED NET_SCH_FQ_CODEL"
    ),
    "CPUShares=": "CGROUP_SCHED FAIR_GROUP_SCHED",
    "CPUQuota=": "CFS_BANDWIDTH",
    "IPAddressDeny=, SocketBindDeny=": "BPF BPF_SYSCALL BPF_JIT HAVE_EBPF_JIT CGROUP_BPF",
    "UEFI systems": "EFIVAR_FS EFI_PARTITION",
    "signed Verity images": "DM_VERITY_VERIFY_ROOTHASH_SIG",
    "signed Verity images, keys of the firmware": (
        "DM_VERITY_VERIFY_ROOTHASH_SIG_SECONDARY_KEYRING DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING "
        "INTEGRITY_MACHINE_KEYRING"
    ),
    "credentials from SMBIOS": "DMI DMI_SYSFS",
    "systemd-oomd": "PSI MEMCG",
}
SYSTEMD_OFF = "SYSFS_DEPRECATED UEVENT_HELPER FW_LOADER_USER_HELPER RT_GROUP_SCHED AUDIT"
SYSTEMD_LEFT_OUT = {
    "BPF_LSM": "needs BTF, which doubles the compilation; RestrictFileSystems= is without effect",
    "DEBUG_INFO_BTF": "see BPF_LSM",
    "IMA_ARCH_POLICY": "the firmware's db reaches the platform key ring without IMA",
}

# contrib/check-config.sh of moby, the names it checks on cgroup v2 and a kernel of version 6
MOBY = {
    "Generally Necessary": (
        "NAMESPACES NET_NS PID_NS IPC_NS UTS_NS CGROUPS CGROUP_SCHED KEYS VETH BRIDGE BRIDGE_NETFILTER "
        "IP_NF_FILTER IP_NF_MANGLE IP_NF_TARGET_MASQUERADE IP6_NF_FILTER IP6_NF_MANGLE "
        "IP6_NF_TARGET_MASQUERADE NETFILTER_XT_MATCH_ADDRTYPE NETFILTER_XT_MATCH_CONNTRACK "
        "NETFILTER_XT_MATCH_IPVS NETFILTER_XT_MARK IP_NF_RAW IP_NF_NAT NF_NAT IP6_NF_RAW IP6_NF_NAT "
        "POSIX_MQUEUE CGROUP_BPF"
    ),
    "Optional Features": (
        "USER_NS SECCOMP SECCOMP_FILTER CGROUP_PIDS CGROUP_HUGETLB BLK_CGROUP BLK_DEV_THROTTLING "
        "CGROUP_PERF NET_CLS_CGROUP CGROUP_NET_PRIO CFS_BANDWIDTH FAIR_GROUP_SCHED "
        "IP_NF_TARGET_REDIRECT IP_VS IP_VS_NFCT IP_VS_PROTO_TCP IP_VS_PROTO_UDP IP_VS_RR "
        "EXT4_USE_FOR_EXT2 EXT4_FS EXT4_FS_POSIX_ACL EXT4_FS_SECURITY"
    ),
    "Network Drivers": (
        "VXLAN BRIDGE_VLAN_FILTERING CRYPTO CRYPTO_AEAD CRYPTO_GCM CRYPTO_SEQIV CRYPTO_GHASH "
        "XFRM XFRM_USER XFRM_ALGO INET_ESP NETFILTER_XT_MATCH_BPF IPVLAN MACVLAN DUMMY "
        "NF_NAT_FTP NF_CONNTRACK_FTP NF_NAT_TFTP NF_CONNTRACK_TFTP"
    ),
    "Storage Drivers": "BTRFS_FS BTRFS_FS_POSIX_ACL OVERLAY_FS",
}
MOBY_LEFT_OUT = {
    "SECURITY_SELINUX": "no policy and no user space for it",
    "SECURITY_APPARMOR": "no policy and no user space for it",
    "MEMCG_SWAP": "no longer an option: part of MEMCG since 6.1",
}

# kernel/configs/hardening.config and arch/x86/configs/hardening.config of the kernel itself
HARDENING_ON = """
    STRICT_KERNEL_RWX STRICT_MODULE_RWX VMAP_STACK RANDOMIZE_BASE RANDOMIZE_MEMORY SLAB_FREELIST_RANDOM
    SLAB_FREELIST_HARDENED SLAB_BUCKETS SHUFFLE_PAGE_ALLOCATOR RANDOM_KMALLOC_CACHES
    RANDOMIZE_KSTACK_OFFSET_DEFAULT STACKPROTECTOR STACKPROTECTOR_STRONG HARDENED_USERCOPY FORTIFY_SOURCE
    LIST_HARDENED INIT_ON_ALLOC_DEFAULT_ON INIT_STACK_ALL_ZERO SECCOMP SECCOMP_FILTER SYN_COOKIES
    LEGACY_VSYSCALL_NONE X86_KERNEL_IBT X86_USER_SHADOW_STACK X86_UMIP
    CPU_MITIGATIONS MITIGATION_RETPOLINE MITIGATION_RETHUNK MITIGATION_PAGE_TABLE_ISOLATION MITIGATION_SRSO
    MITIGATION_SPECTRE_V1 MITIGATION_SPECTRE_V2 MITIGATION_SPECTRE_BHI MITIGATION_RETBLEED MITIGATION_SLS
    MITIGATION_MDS MITIGATION_TAA MITIGATION_L1TF MITIGATION_ITS MITIGATION_TSA
    SECURITY_LOCKDOWN_LSM SECURITY_YAMA SECURITY_LANDLOCK SECURITY_DMESG_RESTRICT BPF_UNPRIV_DEFAULT_OFF
    BPF_JIT_ALWAYS_ON BUG_ON_DATA_CORRUPTION PANIC_ON_OOPS PROC_MEM_FORCE_PTRACE
"""
HARDENING_OFF = """
    DEVMEM DEVPORT PROC_KCORE LEGACY_PTYS LEGACY_TIOCSTI LDISC_AUTOLOAD COMPAT_BRK X86_VSYSCALL_EMULATION
    MODIFY_LDT_SYSCALL IA32_EMULATION X86_X32_ABI KEXEC HIBERNATION USERFAULTFD SLAB_MERGE_DEFAULT
    KPROBES DEBUG_FS
"""
HARDENING_LEFT_OUT = {
    "CFI_CLANG": "a matter of Clang; IBT is on",
    "UBSAN_BOUNDS": "costs size and speed everywhere",
    "KFENCE": "a sampling detector: for a fleet's debug variant",
    "PAGE_TABLE_CHECK": "checks every mapping: too slow by default",
    "INTEL_IOMMU": "pass-through is a matter of hosts",
    "RESET_ATTACK_MITIGATION": "needs user space to clear a flag, else each boot wipes the memory",
}

# All that stands between the boot loader and a mounted ROOT: the initrd has no modules.
BUILT_IN = """
    EFI_STUB BLK_DEV_INITRD RD_ZSTD MODULES
    VIRTIO_PCI VIRTIO_MMIO VIRTIO_BLK SCSI_VIRTIO VIRTIO_NET VIRTIO_CONSOLE VIRTIO_BALLOON HW_RANDOM_VIRTIO
    BLK_DEV_NVME SATA_AHCI ATA_PIIX BLK_DEV_SD VMWARE_PVSCSI FUSION_SPI FUSION_SAS SCSI_MPT3SAS
    HYPERV HYPERV_STORAGE XEN_PVHVM_GUEST XEN_BLKDEV_FRONTEND PCI_HYPERV
    EFI_PARTITION BLK_DEV_DM DM_VERITY DM_CRYPT BLK_DEV_LOOP
    EROFS_FS EROFS_FS_ZIP EROFS_FS_ZIP_ZSTD EXT4_FS VFAT_FS NLS_CODEPAGE_437 NLS_ISO8859_1 NLS_ASCII NLS_UTF8
    OVERLAY_FS AUTOFS_FS EFIVAR_FS TMPFS PSTORE
    DMI_SYSFS FW_CFG_SYSFS VSOCKETS VIRTIO_VSOCKETS TCG_TPM TCG_TIS TCG_CRB
    WATCHDOG I6300ESB_WDT ITCO_WDT SOFT_WATCHDOG SERIAL_8250_CONSOLE
    CRYPTO_SHA256 CRYPTO_AES CRYPTO_XTS CRYPTO_USER_API_SKCIPHER
"""
# What only some machines need, after boot; as a module or built in.
PRESENT = """
    ENA_ETHERNET GVE VMXNET3 E1000 E1000E IXGBEVF HYPERV_NET XEN_NETDEV_FRONTEND HYPERV_UTILS VMWARE_VMCI
    HYPERV_VSOCKETS VMWARE_VMCI_VSOCKETS VIRTIO_FS BTRFS_FS SQUASHFS ISO9660_FS FUSE_FS DM_INTEGRITY
    WIREGUARD TUN VETH BRIDGE VXLAN MACVLAN NF_TABLES NFT_COMPAT NFT_NAT NFT_MASQ NFT_CT
    KEXEC_FILE KEXEC_SIG CHECKPOINT_RESTORE INTEGRITY_PLATFORM_KEYRING LOAD_UEFI_KEYS VMGENID
    PTP_1588_CLOCK_KVM
"""


def kernel_of(session: Session) -> Node:
    node = session.plan.asked_for(session.loaded.manifest.kernel.package)
    assert node is not None
    return node


@pytest.fixture(scope="module")
def modules(session: Session) -> Path:
    """/usr/lib/modules/RELEASE of the kernel's binary package."""
    kernel = kernel_of(session).cpv
    image = session.build_packages([kernel])[kernel].part(IMAGE)
    [directory] = (session.store.path(image) / "usr/lib/modules").iterdir()
    return directory


@pytest.fixture(scope="module")
def config(modules: Path) -> dict[str, str]:
    found = re.findall(r"^CONFIG_(\w+)=(.*)$", (modules / "config").read_text(), re.MULTILINE)
    return dict(found)


def _missing(config: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [name for name in names if config.get(name) not in ("y", "m")]


@pytest.mark.parametrize("section", SYSTEMD)
def test_systemd_finds_what_its_readme_asks_for(config: Mapping[str, str], section: str) -> None:
    assert _missing(config, SYSTEMD[section].split()) == []


@pytest.mark.parametrize("section", MOBY)
def test_container_runtimes_find_what_they_check_for(config: Mapping[str, str], section: str) -> None:
    assert _missing(config, MOBY[section].split()) == []


def test_what_is_left_out_is_out(config: Mapping[str, str]) -> None:
    """A reason for something that is there after all would mislead."""
    left_out = {**SYSTEMD_LEFT_OUT, **MOBY_LEFT_OUT, **HARDENING_LEFT_OUT}
    assert [name for name in left_out if name in config] == []


def test_hardening_is_on(config: Mapping[str, str]) -> None:
    assert _missing(config, HARDENING_ON.split()) == []


def test_what_systemd_and_hardening_want_off_is_off(config: Mapping[str, str]) -> None:
    assert [name for name in (HARDENING_OFF + SYSTEMD_OFF).split() if name in config] == []


def test_boot_needs_no_module(config: Mapping[str, str]) -> None:
    assert [name for name in BUILT_IN.split() if config.get(name) != "y"] == []


def test_platforms_find_their_drivers(config: Mapping[str, str]) -> None:
    assert _missing(config, PRESENT.split()) == []


def test_nothing_random_or_of_this_machine_is_built_in(config: Mapping[str, str], modules: Path) -> None:
    assert config["MODULE_SIG_KEY"] == '""'
    assert "IKHEADERS" not in config
    for module in modules.rglob("*.ko"):
        assert not module.read_bytes().endswith(b"~Module signature appended~\n"), module.name
    assert not (modules / "build").is_symlink()


def test_boot_is_not_held_up_by_self_tests(config: Mapping[str, str]) -> None:
    assert config["CRYPTO_MANAGER_DISABLE_TESTS"] == "y"
    slow = {"CRYPTO_JITTERENTROPY", "XOR_BLOCKS", "RAID6_PQ"}
    assert [name for name in slow if config.get(name) == "y"] == []


def test_a_crash_ends_in_a_reboot(config: Mapping[str, str]) -> None:
    assert config["PANIC_ON_OOPS"] == "y"
    assert 0 < int(config["PANIC_TIMEOUT"]) <= 30


def test_sizes(modules: Path) -> None:
    """Modules are measured as they are installed; the usr image compresses them to a third."""
    kernel = modules / "vmlinuz"
    rest = [path for path in modules.rglob("*") if path.is_file() and path != kernel]
    assert kernel.stat().st_size <= 7 * MIB
    assert sum(path.stat().st_size for path in rest) <= 13 * MIB


def test_every_module_is_indexed_and_stripped(modules: Path) -> None:
    found = {str(path.relative_to(modules)) for path in modules.rglob("*.ko")}
    indexed = {line.split(":")[0] for line in (modules / "modules.dep").read_text().splitlines()}
    assert found
    assert found == indexed
    for name in found:
        assert b".debug_info" not in (modules / name).read_bytes()


def test_the_package_is_the_kernel_and_nothing_else(modules: Path) -> None:
    image = modules.parents[3]
    assert sorted(path.name for path in image.iterdir()) == ["usr"]
    assert sorted(path.name for path in (image / "usr").iterdir()) == ["lib"]
    release = subprocess.run(
        ["file", "-b", modules / "vmlinuz"], capture_output=True, text=True, check=False
    ).stdout
    assert not release or modules.name in release


# tests/unit/test_kernel_config.py has the check itself in every run
@pytest.mark.long
def test_an_option_without_effect_fails_the_build(session: Session, tmp_path: Path) -> None:
    fragment = tmp_path / "90-typing-error.config"
    fragment.write_text("CONFIG_NO_SUCH_OPTION=y\n# CONFIG_EPOLL is not set\nCONFIG_NVME_TARGET_LOOP=y\n")
    kernel = kernel_of(session).cpv
    fragments = ingest_files(session.store, "fragments", {"00-typing-error.config": fragment})
    builder = replace(session.builder, fragments={kernel: fragments})
    with pytest.raises(ColvertError) as caught:
        builder.build(session.scheduler, [kernel])
    assert caught.value.code is Code.PACKAGE_FAILED
    log = "\n".join(caught.value.detail)
    assert "CONFIG_NO_SUCH_OPTION: wanted y, got n" in log
    assert "CONFIG_NVME_TARGET_LOOP: wanted y, got n" in log
    assert "CONFIG_EPOLL" not in log
