"""Policy of a signer: what the owner of a key is willing to sign, as a YAML file beside the keys.

Format: docs/howto/sign-a-release.md. Mistakes in it are reported at their line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from builder.errors import Code, ColvertError, Location, raise_all
from builder.manifest.marks import MAX_BYTES, Items, Scalar, Source, Table, Value, compose, decode
from builder.manifest.problems import Loc, Problems, explain
from builder.pipeline.files import write_atomic
from builder.pipeline.lock import held
from builder.pipeline.reading import read_regular
from builder.pipeline.validation import first_mistake
from builder.signing.request import Item, ItemName, Kind, Request, read_some
from builder.updates.index import Digest, VersionText, Word
from builder.updates.order import newer

FILE = "policy.yaml"
# some hundred bytes for each image
MAX_STATE = 8 << 20


Holder = Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeyRule(_Part):
    """Items that one key may sign, and the number of holders who must sign."""

    items: tuple[str, ...] = ()
    """Item names; empty: all items of this key."""
    holders: Annotated[tuple[Holder, ...], Field(max_length=64)] = ()
    """Key holders, one key each: NAME-HOLDER in the trust root. Empty: one holder."""
    threshold: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of holders that must sign."""

    @model_validator(mode="after")
    def _enough_holders(self) -> KeyRule:
        if len(set(self.holders)) != len(self.holders):
            raise ValueError("duplicate holder")
        if self.threshold > max(1, len(self.holders)):
            raise ValueError("the threshold is higher than the number of holders")
        return self


class Policy(_Part):
    """Signing policy."""

    image_ids: tuple[str, ...] = ()
    """Image ids; empty: any."""
    kinds: tuple[Kind, ...] = tuple(Kind)
    """Kinds of items."""
    keys: Mapping[str, KeyRule] = {}
    """Rules by key name; if there are any, no other key may sign."""
    state: str | None = None
    """File (relative to this one) that records signed versions, to refuse older ones."""

    def threshold(self, key: str) -> int:
        return self.keys[key].threshold if key in self.keys else 1

    def holders(self, key: str) -> tuple[str, ...]:
        return self.keys[key].holders if key in self.keys else ()


class Signed(BaseModel):
    """Last signed release of one image."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: VersionText
    items: dict[ItemName, Digest]


RECORD = TypeAdapter(dict[Word, Signed])


@dataclass(frozen=True)
class State:
    """The record of what was signed last of each image."""

    path: Path
    images: Mapping[str, Signed] = field(default_factory=dict)

    def misfit(self, request: Request, items: list[Item]) -> list[str]:
        """Reasons to refuse these items after the recorded releases."""
        last = self.images.get(request.image_id)
        if last is None or newer(request.version, last.version):
            return []
        if newer(last.version, request.version):
            return [f"version {request.version} is older than {last.version}, which is signed already"]
        if request.version != last.version:
            # machines take the two for one, and the record would forget what it knows of the other
            return [f"version {request.version} is as new as {last.version}, which is signed already"]
        return [
            f"{item.name}: version {request.version} is signed already with another digest"
            for item in items
            if last.items.get(item.name, item.digest) != item.digest
        ]

    def remember(self, request: Request, items: list[Item]) -> None:
        """Note what is about to be signed; whole or not at all."""
        last = self.images.get(request.image_id)
        known = dict(last.items) if last and last.version == request.version else {}
        known |= {item.name: item.digest for item in items}
        images = {**self.images, request.image_id: Signed(version=request.version, items=known)}
        plain = RECORD.dump_python(images, mode="json")
        write_atomic(self.path, (json.dumps(plain, indent=1, sort_keys=True) + "\n").encode())


def read_policy(path: Path) -> Policy:
    """The policy in a file."""
    problems = Problems()
    problems.file(str(path))
    source = Source(str(path), path.parent)
    text = decode(read_some(path, MAX_BYTES), source, problems)
    tree = compose(text, source, problems) if text is not None else None
    problems.raise_any()
    plain = _plain(tree) if tree is not None else {}
    try:
        return Policy.model_validate(plain)
    except ValidationError as error:
        explain(error.errors(include_url=False), Policy, lambda loc, key: _place(tree, loc, source), problems)
        problems.raise_any()
        raise


def read_state(path: Path) -> State:
    """The state that a policy keeps; it may not be there yet."""
    try:
        images = RECORD.validate_json(read_regular(path, MAX_STATE, Code.POLICY))
    except FileNotFoundError:
        return State(path)
    except ValidationError as error:
        what = f"the record of signed versions is damaged: {first_mistake(error)}"
        hint = "restore it from a backup: without it, an older version could be signed again"
        raise ColvertError(Code.POLICY, what, where=Location(str(path)), hint=hint) from error
    return State(path, images)


def check_policy(policy: Policy, state: State | None, request: Request, items: list[Item]) -> None:
    """Refuse all that does not fit, in one go."""
    found = []
    if policy.image_ids and request.image_id not in policy.image_ids:
        found.append(
            f"image {request.image_id} is not allowed; the policy allows {', '.join(policy.image_ids)}"
        )
    for item in items:
        if item.kind not in policy.kinds:
            found.append(f"{item.name}: the policy does not allow items of kind {item.kind}")
        rule = policy.keys.get(item.key)
        if policy.keys and rule is None:
            found.append(f"{item.name}: the policy does not allow the key {item.key}")
        elif rule and rule.items and item.name not in rule.items:
            found.append(
                f"{item.name}: the policy allows the key {item.key} only for {', '.join(rule.items)}"
            )
    found += state.misfit(request, items) if state else []
    raise_all([ColvertError(Code.POLICY, what) for what in found])


def locked(state: Path) -> Any:
    """Hold a state against another signer that uses the same one."""
    return held(state.with_name(f".{state.name}.lock"))


def _plain(value: Value) -> Any:
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, Items):
        return [_plain(member) for member in value.members]
    return {key: _plain(entry.value) for key, entry in value.entries.items()}


def _place(tree: Value | None, loc: Loc, source: Source) -> Location:
    """Where the value at a place of the model was written."""
    mark = tree.mark if tree is not None else None
    for step in loc:
        if isinstance(tree, Table) and isinstance(step, str) and step in tree.entries:
            mark, tree = tree.entries[step].mark, tree.entries[step].value
        elif isinstance(tree, Items) and isinstance(step, int) and step < len(tree.members):
            tree = tree.members[step]
            mark = tree.mark
        else:
            break
    return mark.location if mark else Location(source.name)
