"""Pipeline: what is wrong with a file of ours that its model does not take."""

from __future__ import annotations

from pydantic import ValidationError


def first_mistake(error: ValidationError) -> str:
    """The place of the first mistake, where it has one, and what it is."""
    first = error.errors(include_url=False)[0]
    # a key of somebody else's file goes to a terminal: one line, and nothing that moves the cursor
    place = ".".join(ascii(str(step))[1:-1][:60] for step in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
