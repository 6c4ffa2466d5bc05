"""SPDX identifiers of Gentoo's licence names.

Only names that mean the same licence stand here; a name that covers several texts
(`public-domain`, `as-is`) has no id and becomes a LicenseRef. `tests/unit` holds every id
against the list that SPDX's own validator has.
"""

from __future__ import annotations

from collections.abc import Mapping

IDS: Mapping[str, str] = {
    "0BSD": "0BSD",
    "AFL-2.1": "AFL-2.1",
    "AFL-3.0": "AFL-3.0",
    "AGPL-3": "AGPL-3.0-only",
    "AGPL-3+": "AGPL-3.0-or-later",
    "Apache-1.1": "Apache-1.1",
    "Apache-2.0": "Apache-2.0",
    "Artistic-2": "Artistic-2.0",
    "BSD": "BSD-3-Clause",
    "BSD-1": "BSD-1-Clause",
    "BSD-2": "BSD-2-Clause",
    "BSD-4": "BSD-4-Clause",
    "Boost-1.0": "BSL-1.0",
    "BZIP2": "bzip2-1.0.6",
    "CC-BY-3.0": "CC-BY-3.0",
    "CC-BY-4.0": "CC-BY-4.0",
    "CC-BY-SA-3.0": "CC-BY-SA-3.0",
    "CC-BY-SA-4.0": "CC-BY-SA-4.0",
    "CC0-1.0": "CC0-1.0",
    "CDDL": "CDDL-1.0",
    "CPL-1.0": "CPL-1.0",
    "curl": "curl",
    "EPL-1.0": "EPL-1.0",
    "EPL-2.0": "EPL-2.0",
    "EUPL-1.2": "EUPL-1.2",
    "FDL-1.2": "GFDL-1.2-only",
    "FDL-1.2+": "GFDL-1.2-or-later",
    "FDL-1.3": "GFDL-1.3-only",
    "FDL-1.3+": "GFDL-1.3-or-later",
    "FTL": "FTL",
    "GPL-1": "GPL-1.0-only",
    "GPL-1+": "GPL-1.0-or-later",
    "GPL-2": "GPL-2.0-only",
    "GPL-2+": "GPL-2.0-or-later",
    "GPL-3": "GPL-3.0-only",
    "GPL-3+": "GPL-3.0-or-later",
    "HPND": "HPND",
    "IJG": "IJG",
    "inner-net": "Inner-Net-2.0",
    "ISC": "ISC",
    "LGPL-2": "LGPL-2.0-only",
    "LGPL-2+": "LGPL-2.0-or-later",
    "LGPL-2.1": "LGPL-2.1-only",
    "LGPL-2.1+": "LGPL-2.1-or-later",
    "LGPL-3": "LGPL-3.0-only",
    "LGPL-3+": "LGPL-3.0-or-later",
    "libpng2": "libpng-2.0",
    "LPPL-1.3c": "LPPL-1.3c",
    "MIT": "MIT",
    "MIT-0": "MIT-0",
    "MPL-1.1": "MPL-1.1",
    "MPL-2.0": "MPL-2.0",
    "NCSA": "NCSA",
    "OFL-1.1": "OFL-1.1",
    "openssl": "OpenSSL",
    "PSF-2": "PSF-2.0",
    "Sleepycat": "Sleepycat",
    "tcltk": "TCL",
    "Unicode-3.0": "Unicode-3.0",
    "Unlicense": "Unlicense",
    "vim": "Vim",
    "W3C": "W3C",
    "WTFPL-2": "WTFPL",
    "ZLIB": "Zlib",
    "ZPL": "ZPL-2.1",
}

# exception -> its SPDX id, and the licences beside it that it is an exception to
EXCEPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gcc-runtime-library-exception-3.1": ("GCC-exception-3.1", ("GPL-3+", "GPL-3")),
}
