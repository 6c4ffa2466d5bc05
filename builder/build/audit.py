"""Audit stage: an image's tree and its packages held against the manifest's policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.audit.binaries import Binaries, check_compiled
from builder.audit.files import Tree, check_files, check_tmpfiles
from builder.audit.findings import Verdict, judge
from builder.audit.policy import Check, LoadedPolicy, load_policy
from builder.build.session import Session
from builder.build.tree import Trees
from builder.errors import Code, ColvertError, Location

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
    trees = Trees(session, session.build_packages())
    made = trees.tree.out
    owners = json.loads((made / "report.json").read_text())["owners"]
    images = {cpv: trees.packages[cpv].out / "image" for cpv in trees.shipped}
    return audit_tree(
        Tree(made / "tree", owners, frozenset(images)), images, policy, sdk_root=session.sdk.root
    )


def policy_of(session: Session) -> LoadedPolicy:
    """The policy that the manifest names."""
    loaded = session.loaded
    if loaded.manifest.audit is None:
        raise ColvertError(
            Code.MANIFEST_INVALID,
            "the manifest names no policy to audit by",
            where=Location(str(loaded.path)),
            hint="write `audit: audit.yaml`; an empty policy is `version: 1`",
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
