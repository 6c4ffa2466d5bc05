"""Graph of a plan as DOT, and as SVG by the SDK's graphviz."""

from __future__ import annotations

from builder.packages.plan import Plan
from builder.sandbox.run import run
from builder.sandbox.sdk import Sdk


def as_dot(plan: Plan) -> str:
    """The plan in graphviz's language: solid lines are needed to build, dashed ones to run."""
    lines = ["digraph plan {", "  rankdir=LR; node [shape=box, fontname=sans];"]
    for node in sorted(plan.packages, key=lambda node: node.cpv):
        lines.append(f'  "{node.cpv}";')
        for cpv, kinds in node.dependencies.items():
            style = "solid" if "build" in kinds else "dashed"
            lines.append(f'  "{node.cpv}" -> "{cpv}" [style={style}];')
    return "\n".join([*lines, "}", ""])


def as_svg(sdk: Sdk, dot: str) -> bytes:
    """The drawing."""
    return run(["dot", "-Tsvg"], sandbox=sdk.sandbox(), stdin=dot.encode()).stdout.encode()
