"""Holds requests to the EC2 API against its model, as botocore has it. Runs in the clients' root.

botocore checks names, types and what is required; the values of enumerations are left to the
service, which nobody can ask here, so they are looked up as well.

usage: shapes.py OPERATION FILE [OPERATION FILE]...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.session
from botocore.model import Shape
from botocore.validate import ParamValidator


def strangers(shape: Shape, value: object, where: str) -> Iterator[str]:
    """Values that an enumeration does not have."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from strangers(shape.members[name], inner, f"{where}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from strangers(shape.member, inner, f"{where}[{number}]")
    elif getattr(shape, "enum", []) and value not in shape.enum:
        yield f"{where}: {value!r} is none of {', '.join(shape.enum)}"


def main(words: list[str]) -> int:
    model = botocore.session.get_session().get_service_model("ec2")
    wrong = []
    for operation, file in zip(words[::2], words[1::2], strict=True):
        shape = model.operation_model(operation).input_shape
        request = json.loads(Path(file).read_text())
        report = ParamValidator().validate(request, shape)
        if report.has_errors():
            wrong.append(report.generate_report())
        else:
            wrong += strangers(shape, request, operation)
    print("\n".join(wrong))
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
