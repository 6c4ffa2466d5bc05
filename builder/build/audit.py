"""Audit of an image and its packages by the manifest's policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.audit.binaries import Binaries, check_compiled
from builder.audit.files import Tree, check_files, check_tmpfiles
from builder.audit.findings import Verdict, judge
from builder.audit.policy import Check, LoadedPolicy, load_policy
from builder.build.image import make_image
from builder.build.session import Session
from builder.build.tree import REPORT, TREE
from builder.errors import Code, ColvertError, Location
from builder.packages.package import IMAGE

# the sockets need a machine that runs
LOOKED = tuple(check for check in Check if check not in (Check.SOCKETS, Check.STALE))


@dataclass(frozen=True)
class Audited:
    """The verdict, and what was looked at."""

    verdict: Verdict
    binaries: int
    # files of C and C++ whose options are known
    units: int
    paths: int


def audit(session: Session) -> Audited:
    """Build what the audit reads (the policy first: a mistake in it costs nothing), and look."""
    policy = policy_of(session)
    image = make_image(session, ["tree"])
    images = {cpv: session.store.path(image[cpv].part(IMAGE)) for cpv in session.plan.shipped}
    # with its true modes, which the policy is about
    with session.store.workdir() as scratch:
        tree = session.store.checkout(image.tree.part(TREE), scratch / TREE)
        owners = json.loads(session.store.read(image.tree.part(REPORT)))["owners"]
        return audit_tree(Tree(tree, owners, frozenset(images)), images, policy, sdk_root=session.sdk.root)


def policy_of(session: Session) -> LoadedPolicy:
    """The policy that the manifest names."""
    loaded = session.loaded
    if loaded.manifest.audit is None:
        raise ColvertError(
            Code.MANIFEST_INVALID,
            "the manifest has no audit policy",
            where=Location(str(loaded.path)),
            hint="add `audit: audit.yaml`; an empty policy is `version: 1`",
        )
    return load_policy(loaded.manifest.audit.path)


def audit_tree(tree: Tree, images: Mapping[str, Path], policy: LoadedPolicy, *, sdk_root: Path) -> Audited:
    """Run every check that needs no machine; `images` are the tree's packages, unpacked."""
    binaries = Binaries(tree)
    compiled = check_compiled(images, sdk_root=sdk_root)
    found = (
        *binaries.check_hardening(),
        *binaries.check_libraries(),
        *binaries.check_symbols(images),
        *compiled.found,
        *check_files(tree),
        *check_tmpfiles(tree),
    )
    verdict = judge(found, policy, LOOKED)
    return Audited(verdict, len(binaries.all), compiled.units, len(tree.owners))
