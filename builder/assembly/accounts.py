"""Users and groups of an image as sysusers.d(5) of packages and manifest ask for them.

systemd-sysusers settles a contradiction by itself: it leaves a line out, or takes another id. Files
of one account would belong to another one after the next update, so that each is a mistake here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# the manifest's own file, by its name in sysusers.d
MANIFEST = "90-manifest.conf"
USER, GROUP = "user", "group"
# files with accounts that are there before: name, password, id
_EXISTING = {"passwd": USER, "group": GROUP}


@dataclass(frozen=True)
class Account:
    """A user or a group, and the file that asks for it; the id is None where sysusers is to choose."""

    kind: str
    name: str
    id: int | None
    file: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.file})"


@dataclass(frozen=True)
class Clash:
    """What is wrong with a user or group that a file asks for; `group` where it is about its member."""

    account: Account
    what: str
    group: str = ""


@dataclass
class Accounts:
    """All accounts by kind and name, and what contradicts something."""

    known: dict[tuple[str, str], Account] = field(default_factory=dict)
    owners: dict[tuple[str, int], Account] = field(default_factory=dict)
    # groups that a user is to be in
    wanted: list[tuple[Account, str]] = field(default_factory=list)
    clashes: list[Clash] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        return sorted(name for kind, name in self.known if kind == GROUP)

    def add(self, new: Account) -> None:
        same = self.known.setdefault((new.kind, new.name), new)
        if same.id != new.id and None not in (same.id, new.id):
            self._clash(new, same, f"has the id {new.id} in {new.file}, but {same.id} in {same.file}")
        elif new.id is not None:
            owner = self.owners.setdefault((new.kind, new.id), new)
            if owner.name != new.name:
                self._clash(new, owner, f"has the id {new.id}, as the {owner}")

    def _clash(self, new: Account, old: Account, what: str) -> None:
        # the manifest is easier to change than a package
        blamed, other = (old, new) if old.file == MANIFEST else (new, old)
        if blamed is old and old.name != new.name:
            what = f"has the id {old.id}, as the {other}"
        self.clashes.append(Clash(blamed, f"the {blamed.kind} {blamed.name} {what}"))


def read_accounts(files: Mapping[str, str]) -> Accounts:
    """The accounts of the files by name: `passwd`, `group`, and those of sysusers.d."""
    found = Accounts()
    for name, kind in _EXISTING.items():
        for line in files.get(name, "").splitlines():
            fields = line.split(":")
            if len(fields) > 2:
                found.add(Account(kind, fields[0], _number(fields[2]), name))
    lines = [
        (name, line.split()) for name in sorted(files.keys() - _EXISTING) for line in files[name].splitlines()
    ]
    alone = [user for name, words in lines if len(words) > 1 for user in _take(found, name, words)]
    wrong = {clash.account for clash in found.clashes}
    for user in alone:
        # a group of its name, unless a package asks for that by itself
        if user not in wrong and (user.file == MANIFEST or (GROUP, user.name) not in found.known):
            found.add(Account(GROUP, user.name, user.id, user.file))
    for user, group in found.wanted:
        if (GROUP, group) not in found.known:
            found.clashes.append(
                Clash(user, f"the user {user.name} is to be in the unknown group {group}", group)
            )
        if (USER, user.name) not in found.known:
            found.clashes.append(
                Clash(user, f"the unknown user {user.name} is to be in the group {group}", group)
            )
    return found


def _take(found: Accounts, file: str, words: list[str]) -> Iterator[Account]:
    """Add what a line of sysusers.d asks for; a user without a group of another name is given back."""
    kind, name, wanted = words[0].rstrip("!"), words[1], words[2] if len(words) > 2 else "-"
    uid, colon, group = wanted.partition(":")
    account = Account(GROUP if kind == "g" else USER, name, _number(uid), file)
    if kind == "m":
        found.wanted.append((account, wanted))
    elif kind in ("u", "g"):
        found.add(account)
    if kind == "u" and not colon:
        yield account
    elif kind == "u" and not group.isdigit():
        found.wanted.append((account, group))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
