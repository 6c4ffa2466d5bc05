"""Merge of a manifest's file into those that it includes.

Mappings merge key by key, scalars replace, lists append what is not there yet (sequences: all;
locales: in front). `!replace` takes the place of what was inherited; `!remove` takes members out
of a list (on the list or on single members) or a key out of a mapping. A list member that is a
mapping is known by its `path` or `name`: a later one takes the earlier one's place.
`docs/decisions/manifest-merge.md` says why it is tags.
"""

from __future__ import annotations

from dataclasses import replace

from builder.errors import Code
from builder.manifest.marks import Entry, Items, Scalar, Table, Tag, Value
from builder.manifest.problems import Problems
from builder.texts import quote

Path = tuple[str, ...]

# lists in which a word may come twice, and has its effect where it stands
SEQUENCES = frozenset({("kernel", "command_line"), ("kernel", "fragments")})
# lists whose first member means more than the others: what is asked for last comes first
RANKINGS = frozenset({("locales",)})


def merge(old: Value | None, new: Value, problems: Problems, path: Path = ()) -> Value:
    """The value that `new` makes of an inherited `old` (None: nothing inherited)."""
    if new.tag is Tag.REPLACE:
        return merge(None, replace(new, tag=Tag.NONE), problems, path)
    if isinstance(new, Table):
        return _tables(old if isinstance(old, Table) else None, new, problems, path)
    if isinstance(new, Items):
        lists = _sequences if path in SEQUENCES else _lists
        return lists(old if isinstance(old, Items) else None, new, problems, path)
    if new.tag is Tag.REMOVE:
        _misplaced(new, problems)
    if new.text is None and isinstance(old, (Table, Items)):
        # a key whose lines are all commented out adds nothing
        return old
    return replace(new, tag=Tag.NONE)


def plain(value: Value) -> object:
    """The plain value, without places and tags."""
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, Items):
        return tuple(plain(member) for member in value.members)
    return tuple(sorted((key, plain(entry.value)) for key, entry in value.entries.items()))


def _tables(old: Table | None, new: Table, problems: Problems, path: Path) -> Table:
    if new.tag is Tag.REMOVE:
        _misplaced(new, problems)
    entries: dict[str, Entry] = dict(old.entries) if old else {}
    for key, entry in new.entries.items():
        inherited = entries.get(key)
        value = entry.value
        if isinstance(value, Scalar) and value.tag is Tag.REMOVE:
            _remove_key(entries, key, value, problems)
            continue
        entries[key] = Entry(
            entry.mark, merge(inherited.value if inherited else None, value, problems, (*path, key))
        )
    return Table(entries, new.mark)


def _remove_key(entries: dict[str, Entry], key: str, value: Scalar, problems: Problems) -> None:
    if value.text is not None:
        problems.add(
            Code.MANIFEST_INVALID,
            f"!remove takes no value here, but has {quote(value.text)}",
            value.mark.location,
            hint=f"write `{key}: !remove`",
        )
    elif key not in entries:
        what = f"{quote(key)} is not inherited, so it cannot be removed"
        problems.near(Code.MANIFEST_INVALID, what, value.mark.location, key, entries)
    entries.pop(key, None)


def _lists(old: Items | None, new: Items, problems: Problems, path: Path) -> Items:
    members = {_identity(member, path): member for member in (old.members if old else ())}
    own: dict[object, None] = {}
    for member in new.members:
        if Tag.REMOVE in (new.tag, member.tag):
            _remove_member(members, member, problems, path)
            continue
        clean = merge(None, member, problems, path)
        identity = _identity(clean, path)
        if isinstance(clean, Table) and identity in own:
            what = f"duplicate {_name(clean)} in this list"
            problems.add(Code.MANIFEST_INVALID, what, clean.mark.location)
            continue
        own[identity] = None
        if identity not in members or plain(members[identity]) != plain(clean):
            # a dict keeps the place of a key that it has
            members[identity] = clean
    if path in RANKINGS:
        members = {identity: members[identity] for identity in (*own, *members) if identity in members}
    return Items(tuple(members.values()), new.mark)


def _sequences(old: Items | None, new: Items, problems: Problems, path: Path) -> Items:
    """All of both in their order; `!remove` takes every place of an inherited member out."""
    inherited = {plain(member): member for member in (old.members if old else ())}
    added = []
    for member in new.members:
        if Tag.REMOVE in (new.tag, member.tag):
            _remove_member(inherited, member, problems, path)
        else:
            added.append(merge(None, member, problems, path))
    kept = (member for member in (old.members if old else ()) if plain(member) in inherited)
    return Items((*kept, *added), new.mark)


def _remove_member(members: dict[object, Value], gone: Value, problems: Problems, path: Path) -> None:
    if isinstance(gone, Scalar):
        same = _identity(gone, path)
        matching = [same] if same in members and plain(members[same]) == gone.text else []
    else:
        matching = [identity for identity, member in members.items() if _matches(member, gone)]
    if not matching:
        known = [member.text for member in members.values() if isinstance(member, Scalar) and member.text]
        name = gone.text or "" if isinstance(gone, Scalar) else ""
        what = f"{_name(gone)} is not in the inherited list {'.'.join(path)}, so it cannot be removed"
        problems.near(Code.MANIFEST_INVALID, what, gone.mark.location, name, known)
    for identity in matching:
        del members[identity]


def _matches(member: Value, gone: Value) -> bool:
    """A mapping to remove matches by the keys that it names."""
    if isinstance(member, Table) and isinstance(gone, Table):
        has = {key: plain(entry.value) for key, entry in member.entries.items()}
        named = {key: plain(entry.value) for key, entry in gone.entries.items()}
        return bool(named) and has.items() >= named.items()
    return plain(member) == plain(gone)


def _identity(member: Value, path: Path) -> object:
    """What makes two list members the same one."""
    if isinstance(member, Table):
        for key in ("path", "name"):
            if key in member.entries and "git" not in member.entries:
                return (key, plain(member.entries[key].value))
    if isinstance(member, Scalar) and path[:1] == ("use",) and member.text:
        # `-flag` after `flag` is the same flag, decided anew
        return member.text.removeprefix("-")
    return plain(member)


def _name(value: Value) -> str:
    if isinstance(value, Scalar):
        return quote(value.text or "")
    if isinstance(value, Table):
        for key in ("path", "name"):
            entry = value.entries.get(key)
            if entry and isinstance(entry.value, Scalar):
                return quote(entry.value.text or "")
    return "this"


def _misplaced(value: Value, problems: Problems) -> None:
    problems.add(
        Code.MANIFEST_INVALID,
        "!remove is not allowed here",
        value.mark.location,
        hint="write `key: !remove`, or use it on a list or a list item",
    )
