"""Mistakes of a manifest, collected so that all are reported at once.

Also turns pydantic's findings into ours: at the place in the file, in words that say
what the key wants, with the nearest name for one that is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from builder.errors import Code, ColvertError, Location, raise_all
from builder.texts import nearest, quote

Loc = tuple[int | str, ...]
MAX_TOLD = 100
MAX_FOUND = 1000


class Problems:
    """The mistakes of one manifest, in the order of its files."""

    def __init__(self, files: Iterable[str] = ()) -> None:
        self._found: list[ColvertError] = []
        self._told: set[tuple[str, Location | None]] = set()
        self._places: set[Location | None] = set()
        self._files = list(files)
        self.broken = False

    def file(self, name: str) -> None:
        """Record that a file is read now; errors are reported in this order of files."""
        self._files.append(name)

    def add(
        self, code: Code, what: str, where: Location | None, *, hint: str = "", detail: Iterable[str] = ()
    ) -> None:
        if (what, where) not in self._told and len(self._found) < MAX_FOUND:
            self._told.add((what, where))
            self._places.add(where)
            self._found.append(ColvertError(code, what, where=where, hint=hint, detail=detail))

    def take(self, error: ColvertError) -> None:
        """Add an error as it is."""
        self.add(error.code, error.what, error.where, hint=error.hint, detail=error.detail)

    def told(self, where: Location) -> bool:
        """Whether something is wrong here already: then what follows from it is no news."""
        return bool(where.line) and where in self._places

    def near(self, code: Code, what: str, where: Location | None, word: str, known: Iterable[str]) -> None:
        """Add a mistake about a name that is not one of the `known`."""
        if len(self._found) < MAX_FOUND:
            self.add(code, what + nearest(word, known), where)

    def fatal(self, code: Code, what: str, where: Location | None, *, hint: str = "") -> None:
        """Add a mistake after which looking at the merged result makes no sense."""
        self.broken = True
        self.add(code, what, where, hint=hint)

    def raise_any(self) -> None:
        """Raise one error that holds all mistakes, if there are any."""
        raise_all(self.errors())

    def errors(self) -> list[ColvertError]:
        """The mistakes in their order, as many as are told."""
        order = {name: number for number, name in enumerate(self._files)}

        def place(error: ColvertError) -> tuple[int, int, int]:
            where = error.where or Location("")
            return order.get(where.file, len(order)), where.line, where.column

        return sorted(self._found, key=place)[:MAX_TOLD]


# parts of pydantic's places that are no part of a manifest
STEPS = ("[key]", "path-overlay", "git-overlay")
WANTS = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping (`key: value` lines)",
    "model_type": "must be a mapping (`key: value` lines)",
    "model_attributes_type": "must be a mapping (`key: value` lines)",
}


def within(error: ValidationError, *path: int | str) -> list[ErrorDetails]:
    """Pydantic's findings about a part of a manifest, with their places in the whole."""
    details = error.errors(include_url=False)
    return [{**detail, "loc": (*path, *detail["loc"])} for detail in details]


def explain(
    details: Sequence[ErrorDetails],
    model: type[BaseModel],
    where: Callable[[Loc, bool], Location],
    problems: Problems,
    more_keys: Iterable[str] = (),
) -> None:
    """Add pydantic's findings; `where` returns the place of a value, or of its key."""
    for detail in details[:MAX_FOUND]:
        loc, kind = detail["loc"], detail["type"]
        # members of a merged list have no number that the reader of one file could count
        name = ".".join(part for part in loc if isinstance(part, str) and part not in STEPS)
        if problems.told(where(loc, False)):
            continue
        if kind == "extra_forbidden":
            word = str(loc[-1])
            known = [*_fields_at(model, loc[:-1]), *(more_keys if len(loc) == 1 else ())]
            what = f"unknown key {quote(word)}{nearest(word, known)}"
            hint = "" if "did you mean" in what else "use one of " + ", ".join(sorted(known))
            problems.add(Code.MANIFEST_INVALID, what, where(loc, True), hint=hint)
        elif kind == "missing":
            problems.add(Code.MANIFEST_INVALID, f"the key {quote(name)} is missing", where(loc[:-1], False))
        elif kind in ("literal_error", "enum"):
            _not_one_of(detail, name, where(loc, False), problems)
        else:
            code = Code.OVERLAY_MISSING if kind == "overlay_missing" else Code.MANIFEST_INVALID
            problems.add(code, f"{name}: {_words(detail)}", where(loc, False))


def _words(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind in WANTS:
        return WANTS[kind]
    message = detail["msg"]
    return message[:1].lower() + message[1:]


def _not_one_of(detail: ErrorDetails, name: str, where: Location, problems: Problems) -> None:
    expected = str(detail.get("ctx", {}).get("expected", ""))
    known = [word for word in expected.split("'") if word.strip() and word.strip() not in (",", "or")]
    given = detail["input"] if isinstance(detail["input"], str) else ""
    what = f"{name}: unknown value {quote(given)}"
    hint = f"use {' or '.join(known)}"
    problems.add(Code.MANIFEST_INVALID, what + nearest(given, known), where, hint=hint)


def _fields_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that the model knows at a place."""
    found: list[type[BaseModel]] = [model]
    for part in loc:
        fields = [at.model_fields[str(part)] for at in found if part in at.model_fields]
        nested = [deeper for at in fields for deeper in nested_models(at.annotation)]
        found = nested or found
    return sorted({name for at in found for name in at.model_fields})


def nested_models(annotation: object) -> list[type[BaseModel]]:
    """The models inside a field's annotation, such as a tuple's members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in nested_models(argument)]
