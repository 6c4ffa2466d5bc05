"""Resolve atoms to a plan with Portage's own solver; runs inside the SDK, prints JSON.

Standard input: {"atoms": [...]}. Standard output: the last line is either
{"packages": [...]} or {"error": Portage's explanation}.
"""

import contextlib
import io
import json
import os
import sys

os.environ.setdefault("PORTAGE_FORK_DEP_CALC", "0")

import portage
from _emerge.actions import load_emerge_config
from _emerge.create_depgraph_params import create_depgraph_params
from _emerge.DependencyArg import DependencyArg
from _emerge.depgraph import backtrack_depgraph
from _emerge.Package import Package
from _emerge.stdout_spinner import stdout_spinner


def edges(graph, package):
    """The package's dependencies in the target root: cpv -> sorted kinds."""
    found = {}
    for child, priorities in graph.nodes[package][0].items():
        if not isinstance(child, Package) or child.root != package.root or child is package:
            continue
        kinds = found.setdefault(str(child.cpv), set())
        for priority in priorities:
            if getattr(priority, "buildtime", False):
                kinds.add("build")
            if getattr(priority, "runtime", False) or getattr(priority, "runtime_slot_op", False):
                kinds.add("run")
            if getattr(priority, "runtime_post", False):
                kinds.add("post")
    return {cpv: sorted(kinds) for cpv, kinds in sorted(found.items())}


def profiles(tree):
    """The profile directories of a root, by repository: all that Portage reads of a profile is in them."""
    settings = tree["vartree"].settings
    return [os.path.relpath(os.path.realpath(place), "/build/repos") for place in settings.profiles]


def describe(package, graph, trees):
    database = trees[package.root]["porttree"].dbapi
    repository = database.getRepositoryPath(package.repo)
    path = database.findname(package.cpv, myrepo=package.repo)
    database.aux_get(package.cpv, ["EAPI"], myrepo=package.repo)
    metadata, _ = database._pull_valid_cache(package.cpv, path, repository)
    use = sorted(package.use.enabled)
    keys = ["LICENSE", "DESCRIPTION", "HOMEPAGE", "RESTRICT"]
    values = dict(zip(keys, database.aux_get(package.cpv, keys, myrepo=package.repo), strict=True))
    licence = portage.dep.paren_enclose(portage.dep.use_reduce(values["LICENSE"], uselist=use))
    return {
        "cpv": str(package.cpv),
        "category": package.category,
        "name": package.cpv.cp.partition("/")[2],
        "pf": package.pf,
        "version": str(package.cpv.version),
        "slot": str(package.slot),
        "repository": package.repo,
        "use": [flag for flag in use if flag in {x.lstrip("+-") for x in metadata.get("IUSE", "").split()}],
        "iuse": sorted(x.lstrip("+-") for x in metadata.get("IUSE", "").split()),
        "ebuild": os.path.relpath(path, repository),
        "eclasses": sorted(metadata.get("_eclasses_") or {}),
        "distfiles": {
            name: list(uris)
            for name, uris in sorted(database.getFetchMap(package.cpv, useflags=package.use.enabled).items())
        },
        "licence": licence,
        "licences": sorted(set(licence.split()) - {"||", "(", ")"}),
        "description": values["DESCRIPTION"],
        "homepage": values["HOMEPAGE"].split()[0] if values["HOMEPAGE"] else "",
        "dependencies": edges(graph, package),
    }


def resolve(atoms):
    options = {"--pretend": True, "--quiet": True, "--color": "n"}
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        config = load_emerge_config(action=None, args=atoms, opts=options)
        spinner = stdout_spinner()
        spinner.update = lambda *args, **kwargs: True
        try:
            done, depgraph, _ = backtrack_depgraph(
                config.target_config.settings,
                config.trees,
                options,
                create_depgraph_params(options, None),
                None,
                atoms,
                spinner,
            )
        except portage.exception.PackageSetNotFound as error:
            return {"error": f"there is no package set {error}"}
        if not done:
            depgraph.display_problems()
            return {"error": said.getvalue()}
        graph = depgraph._dynamic_config.digraph
        chosen = [p for p in depgraph.altlist() if isinstance(p, Package) and p.operation == "merge"]
        strays = [str(p.cpv) for p in chosen if p.root == "/"]
        target = [p for p in chosen if p.root != "/"]
        if strays:
            return {"error": "these build tools are not in the SDK: " + ", ".join(strays)}
        return {
            "packages": [describe(package, graph, config.trees) for package in target],
            # those that an atom asked for, whatever else has their name
            "roots": sorted(
                str(package.cpv)
                for package in target
                if any(isinstance(parent, DependencyArg) for parent in graph.parent_nodes(package))
            ),
            "profiles": sorted({place for tree in config.trees.values() for place in profiles(tree)}),
        }


print(json.dumps(resolve(json.load(sys.stdin)["atoms"])))
