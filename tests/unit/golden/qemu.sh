#!/bin/sh
# Starts Colvert 1.2.3 under QEMU. Needs qemu-system-x86_64, and nothing else.
# What the machine writes is thrown away when it ends, unless PERSIST=1.
set -eu

usage() {
	cat <<EOF
usage: [VARIABLE=VALUE ...] $0 [QEMU OPTION ...]

  MEMORY=MIB       memory of the machine (1024)
  CPUS=NUMBER      its processors (2)
  ACCEL=NAME       kvm or tcg; kvm where /dev/kvm can be opened
  PERSIST=1        keep what it writes: disk and firmware variables change
  SSH_KEY=FILE     a public key that may log in as root
  SSH_PORT=NUMBER  port of this computer's loopback that leads to ssh (2222)

The console is the terminal; Ctrl-A X ends the machine.
EOF
}

case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
esac

here=$(cd "$(dirname "$0")" && pwd)
image="${here}/colvert-1.2.3-qemu"
for file in "${image}.qcow2" "${image}.code.fd" "${image}.vars.fd"; do
	if [ ! -r "${file}" ]; then
		echo "$0: cannot read ${file}" >&2
		exit 2
	fi
done
if ! command -v qemu-system-x86_64 >/dev/null; then
	echo "$0: qemu-system-x86_64 is missing (Debian: apt install qemu-system-x86)" >&2
	exit 2
fi

if [ -z "${ACCEL:-}" ]; then
	ACCEL=tcg
	[ ! -w /dev/kvm ] || ACCEL=kvm
fi
case "${ACCEL}" in
kvm) cpu=host ;;
*) cpu=max ;;
esac

work=$(mktemp -d)
trap 'rm -rf "${work}"' EXIT
trap 'exit 130' INT TERM
snapshot=on
vars="${work}/vars.fd"
if [ "${PERSIST:-0}" = 1 ]; then
	snapshot=off
	vars="${image}.vars.fd"
else
	cp "${image}.vars.fd" "${vars}"
fi

set -- \
	-nodefaults -no-user-config \
	-machine q35 -accel "${ACCEL}" -cpu "${cpu}" \
	-m "${MEMORY:-1024}" -smp "${CPUS:-2}" \
	-drive "if=pflash,unit=0,format=raw,readonly=on,file=${image}.code.fd" \
	-drive "if=pflash,unit=1,format=raw,file=${vars}" \
	-drive "if=none,id=disk,format=qcow2,discard=unmap,snapshot=${snapshot},file=${image}.qcow2" \
	-device virtio-blk-pci,drive=disk,bootindex=0 \
	-netdev "user,id=net,hostfwd=tcp:127.0.0.1:${SSH_PORT:-2222}-:22" \
	-device virtio-net-pci,netdev=net,romfile= \
	-device virtio-rng-pci \
	-device i6300esb -action watchdog=reset \
	-display none -serial mon:stdio \
	"$@"
if [ -n "${SSH_KEY:-}" ]; then
	key=$(base64 <"${SSH_KEY}" | tr -d '\n')
	set -- -smbios "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=${key}" "$@"
fi
qemu-system-x86_64 "$@"
