"""File capabilities: packages that set them are refused, since an image does not keep them.

Binary packages hold no extended attributes, so a capability set in src_install, or by fcaps.eclass in
pkg_postinst (which does not run), would be lost without a word (docs/decisions/capabilities.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.errors import Code, ColvertError, Location, raise_all
from builder.packages.plan import Node, Plan
from builder.packages.recipe import Recipes

SETS = re.compile(r"^[^#\n]*?(\b(?:setcap|setfattr|fcaps)\b|security\.capability)", re.MULTILINE)
ECLASS = "fcaps"
FLAG = "filecaps"
HINT = "let the program's unit give the rights it needs (AmbientCapabilities=), or turn USE=filecaps off"


def check_capabilities(plan: Plan, recipes: Recipes) -> None:
    """Raise PACKAGE_REFUSED for every package of the plan that sets capabilities of its files."""
    raise_all([problem for node in plan.packages for problem in _problems(node, recipes)])


def _problems(node: Node, recipes: Recipes) -> Iterator[ColvertError]:
    if FLAG in node.iuse and FLAG not in node.use:
        return
    path = recipes.overlay(node).path / node.ebuild
    hit = SETS.search(recipes.ebuild(node))
    if hit is not None:
        line = recipes.ebuild(node).count("\n", 0, hit.start(1)) + 1
        yield _refused(node, f"{hit[1]} sets", Location(str(path), line))
    elif ECLASS in node.eclasses:
        yield _refused(node, f"{ECLASS}.eclass sets", Location(str(path)))


def _refused(node: Node, what: str, where: Location) -> ColvertError:
    text = f"{node.cpv}: {what} capabilities of files, which an image does not keep"
    return ColvertError(Code.PACKAGE_REFUSED, text, where=where, hint=HINT)
