#!/bin/bash
# Builds one ebuild inside the sandbox and lays its result out in /build/out:
#   package.gpkg.tar   the binary package
#   image/             its files
#   vdb/               what of Portage's package database other packages' builds can ask for
# usage: build.sh EBUILD CATEGORY PF
set -euo pipefail
ebuild=$1 category=$2 pf=$3

ebuild --color=n "${ebuild}" install
work=$(portageq envvar PORTAGE_TMPDIR)/portage/${category}/${pf}
info=${work}/build-info
# Capabilities of files would be lost without a word: binary packages keep no extended attributes,
# and neither pkg_preinst nor pkg_postinst runs (docs/decisions/capabilities.md).
python3 -I - "${work}" <<'EOF'
import bz2, os, re, sys

work = sys.argv[1]
image, info = f"{work}/image", f"{work}/build-info"


def words(name):
    path = f"{info}/{name}"
    return {word.lstrip("+-") for word in open(path).read().split()} if os.path.exists(path) else set()


found = []
for folder, folders, files in os.walk(image):
    for path in sorted(f"{folder}/{name}" for name in (*folders, *files)):
        for name in [] if os.path.islink(path) else os.listxattr(path):
            if name == "security.capability" or name.startswith("user."):
                found.append(f"{path.removeprefix(image)} has the extended attribute {name}")
environment = bz2.open(f"{info}/environment.bz2", "rt", errors="replace").read()
phases = re.findall(r"^(pkg_p(?:re|ost)inst) \(\)\s*\{(.*?)^\}", environment, re.DOTALL | re.MULTILINE)
off = "filecaps" in words("IUSE") and "filecaps" not in words("USE")
for name, body in phases:
    if re.search(r"\bsetcap\b", body) or (re.search(r"\bfcaps", body) and not off):
        found.append(f"{name} sets capabilities of files")
if found:
    print(*(f"ERROR: {line}, which images do not keep" for line in found), sep="\n")
    sys.exit("Let the program's unit give the rights it needs (AmbientCapabilities=), or turn USE=filecaps off.")
EOF
# Portage lists the programs as it meets them, in the order of the file system's directories.
for list in "${info}"/NEEDED{,.ELF.2}; do
	[[ ! -e ${list} ]] || LC_ALL=C sort -o "${list}" "${list}"
done
# It packs its records in such an order too; in memory that is the order in which they were made.
records=/run/build-info
mkdir "${records}"
find "${info}" -mindepth 1 -maxdepth 1 -print0 | LC_ALL=C sort -z | xargs -0 cp -a -t "${records}"
rm -r "${info}"
ln -s "${records}" "${info}"
ebuild --color=n "${ebuild}" package

mapfile -t found < <(find "/build/binpkgs/${category}" -name "${pf}*.gpkg.tar")
if (( ${#found[@]} != 1 )); then
	echo "expected one binary package of ${category}/${pf}, found ${#found[@]}" >&2
	exit 1
fi
out=/build/out
mv "${found[0]}" "${out}/package.gpkg.tar"
mkdir -p "${out}/image" "${out}/vdb"
inner() { tar -xOf "${out}/package.gpkg.tar" "${pf}/$1.tar.zst" | tar --zstd -xf - -C "${out}/$2" --strip-components=1; }
inner image image
inner metadata vdb
# What differs from build to build, or is nobody's business but this package's, stays in the gpkg.
find "${out}/vdb" -mindepth 1 -maxdepth 1 \( -name 'environment*' -o -name '*.ebuild' -o -name BUILD_TIME \
	-o -name BUILD_ID -o -name SIZE -o -name COUNTER -o -name 'C*FLAGS' -o -name LDFLAGS -o -name FEATURES \
	-o -name NEEDED -o -name BINPKGMD5 -o -name MD5 -o -name CONTENTS \) -exec rm -r {} +
