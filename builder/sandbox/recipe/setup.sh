#!/bin/bash
# Turns a plain Debian root into the SDK. Runs once, inside the sandbox, as the
# user namespace's root, with the SDK writable at / and Portage's sdist in /inputs.
# Its text is part of the SDK's identity: changing it makes a new SDK.
set -euo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin
chost=x86_64-pc-linux-gnu
triplet=x86_64-linux-gnu

# Portage calls the GNU tools by their g-prefixed names.
for tool in tar sed xargs find make; do
	ln -sf "/usr/bin/${tool}" "/usr/local/bin/g${tool}"
done
ln -sf /usr/bin/patch /usr/local/bin/gpatch
# meson installs scripts whose first line asks for plain "python".
ln -sf python3 /usr/bin/python

# --- gcc that cannot see the SDK's own libraries -------------------------------
# Debian's gcc finds its start files and libraries relative to its own prefix even
# with --sysroot. The same private files under another prefix, named by
# GCC_EXEC_PREFIX, leave it nothing but the sysroot to look in.
farm=/opt/sysrooted-gcc
release=$(gcc -dumpversion)
mkdir -p "${farm}"/{lib/gcc,libexec/gcc,include}/"${triplet}"
cp -as "/usr/lib/gcc/${triplet}/${release}" "${farm}/lib/gcc/${triplet}/"
cp -as "/usr/libexec/gcc/${triplet}/${release}" "${farm}/libexec/gcc/${triplet}/"
cp -a /usr/include/c++ "${farm}/include/"
cp -a "/usr/include/${triplet}/c++" "${farm}/include/${triplet}/"

# Each compiler process first takes one of the machine's compile slots: lock files
# that the sandbox binds to /run/compile-slots. Whatever job count the build
# systems choose, no more compilers run at once than there are slots.
for compiler in gcc g++; do
	cat > "/usr/local/bin/${chost}-${compiler}" <<-EOF
	#!/bin/bash
	export GCC_EXEC_PREFIX=${farm}/lib/gcc/
	slots=(/run/compile-slots/*)
	if [[ -e \${slots[0]} && \${COLVERT_SLOT_HELD:-} != 1 ]]; then
		export COLVERT_SLOT_HELD=1
		for slot in "\${slots[@]}"; do
			exec {held}<"\${slot}"
			if flock --nonblock "\${held}"; then
				exec /usr/bin/${compiler} --sysroot="\${SYSROOT:?is not set}" "\$@"
			fi
			exec {held}<&-
		done
		exec {held}<"\${slots[RANDOM % \${#slots[@]}]}"
		flock "\${held}"
	fi
	exec /usr/bin/${compiler} --sysroot="\${SYSROOT:?is not set}" "\$@"
	EOF
	chmod 0755 "/usr/local/bin/${chost}-${compiler}"
done
cat > "/usr/local/bin/${chost}-pkg-config" <<'EOF'
#!/bin/sh
: "${SYSROOT:?is not set}"
export PKG_CONFIG_SYSROOT_DIR="${SYSROOT}" PKG_CONFIG_PATH=
export PKG_CONFIG_LIBDIR="${SYSROOT}/usr/lib/pkgconfig:${SYSROOT}/usr/share/pkgconfig"
exec /usr/bin/pkg-config "$@"
EOF
chmod 0755 "/usr/local/bin/${chost}-pkg-config"
for tool in ar nm ranlib ld strip objcopy objdump readelf as size strings; do
	ln -sf "/usr/bin/${tool}" "/usr/local/bin/${chost}-${tool}"
done

# --- Portage -------------------------------------------------------------------
work=$(mktemp -d)
tar -xf /inputs/portage.tar.gz -C "${work}" --strip-components=1
(
	cd "${work}"
	meson setup build --prefix=/usr --sysconfdir=/etc -Dnative-extensions=false \
		-Dsystem-wide=true -Drsync-verify=false -Dxattr=false >/dev/null
	ninja -C build install >/dev/null
)
rm -rf "${work}"
site=$(python3 -c 'import os, portage; print(os.path.dirname(portage.__file__))')
# Binary packages must not record when they were made, nor in what order a Python
# set was walked (the latter by PYTHONHASHSEED in the environment).
sed -i \
	-e 's/datetime\.now()\.timestamp()/float(os.environ["SOURCE_DATE_EPOCH"])/' \
	-e 's/image_tar\.add(root_dir, "image", recursive=True)/image_tar.add(root_dir, "image", recursive=True, filter=_clamp_mtime)/' \
	"${site}/gpkg.py"
cat >> "${site}/gpkg.py" <<'EOF'


def _clamp_mtime(tarinfo):
    tarinfo.mtime = min(tarinfo.mtime, float(os.environ["SOURCE_DATE_EPOCH"]))
    return tarinfo
EOF
sed -i 's/f\.write(f"{int(time\.time())}\\n")/f.write(f"{os.environ[\x27SOURCE_DATE_EPOCH\x27]}\\n")/' \
	"${site}/package/ebuild/doebuild.py"
grep -q '_clamp_mtime)' "${site}/gpkg.py"
grep -q "environ\['SOURCE_DATE_EPOCH'\]" "${site}/package/ebuild/doebuild.py"
! grep -q 'datetime\.now()' "${site}/gpkg.py"
: > /usr/share/portage/config/repos.conf
mkdir -p /etc/portage /build /run/portage /run/compile-slots /var/lib/portage /var/cache/edb

# --- what the SDK provides, told to Portage as installed packages ---------------
# has_version sees only the package database, so package.provided would not do.
provide() { # CATEGORY/NAME DEBIAN-PACKAGE
	local version dir
	version=$(dpkg-query -W -f '${Version}' "$2") || return 1
	version=${version#*:}
	version=$(sed -E 's/^([0-9]+(\.[0-9]+)*).*/\1/' <<<"${version}")
	dir="/var/db/pkg/$1-${version}-r99"
	mkdir -p "${dir}"
	printf '%s\n' "${1%/*}" > "${dir}/CATEGORY"
	printf '%s\n' "${1#*/}-${version}-r99" > "${dir}/PF"
	printf '0\n' > "${dir}/SLOT"
	printf '8\n' > "${dir}/EAPI"
	printf 'amd64\n' > "${dir}/KEYWORDS"
	printf 'colvert\n' > "${dir}/repository"
	printf '0\n' > "${dir}/COUNTER"
	printf '0\n' > "${dir}/BUILD_TIME"
	printf 'provided by the SDK as Debian %s\n' "$2" > "${dir}/DESCRIPTION"
	: > "${dir}/CONTENTS"
	printf 'EAPI=8\nSLOT=0\n' > "${dir}/${1#*/}-${version}-r99.ebuild"
}
while read -r atom debian; do
	provide "${atom}" "${debian}"
done < /inputs/provided.txt

# --- a root that is the same whoever made it -------------------------------------
dpkg-query -W -f '${Package} ${Version}\n' | LC_ALL=C sort > /etc/sdk-packages
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /tmp/* /var/tmp/* /usr/share/doc/*/changelog*
rm -f /etc/machine-id /etc/hostname /var/cache/ldconfig/aux-cache
# a place for the host's own, where a sandbox has the network
rm -f /etc/resolv.conf
: > /etc/resolv.conf
