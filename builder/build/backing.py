"""Accounts and locales of a manifest, compared with the packages of its image.

Packages are not there when a manifest is checked; this is looked at as soon as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from builder.assembly.accounts import MANIFEST, USER, Accounts, Clash, read_accounts
from builder.assembly.root import COMPAT, ETC, INNER
from builder.errors import Code, ColvertError, raise_all
from builder.manifest.load import LoadedManifest
from builder.manifest.problems import Loc
from builder.pipeline.index import Item, Type
from builder.texts import nearest, quote

LOCALES = "usr/lib/locale"
SYSUSERS = ("usr/lib/sysusers.d", f"{ETC}/sysusers.d")
EXISTING = (f"{ETC}/passwd", f"{ETC}/group")
# they let nobody in, there or not
NO_SHELLS = frozenset({"nologin", "false"})


@dataclass
class Provided:
    """What packages and the manifest's files bring, by the places in the tree."""

    paths: dict[str, Type] = field(default_factory=dict)
    # texts with accounts, by the name of the file; of two with one name, that of /etc counts
    accounts: dict[str, str] = field(default_factory=dict)

    def take(self, items: Iterable[Item], root: Callable[[], Path]) -> None:
        """Take in a package; `root` says where its files lie, and is asked for accounts only."""
        for item in items:
            place = tree_place(item.name)
            # links are left to the tree, which follows them as the machine does
            wanted = item.type is Type.FILE and is_account_file(place)
            text = (root() / item.name).read_bytes().decode(errors="replace") if wanted else ""
            self.add(place, text, item.type)

    def add(self, place: str, text: str, kind: Type = Type.FILE) -> None:
        """Take in one path, with its text where it has accounts."""
        self.paths[place] = kind
        for parent in PurePosixPath(place).parents:
            self.paths.setdefault(str(parent), Type.DIRECTORY)
        name = PurePosixPath(place).name
        if is_account_file(place) and (name not in self.accounts or place.startswith(ETC)):
            self.accounts[name] = text

    def has(self, path: str, *kinds: Type) -> bool:
        """Whether there is a path of the running system; what is behind a link of a package may be there."""
        place = tree_place(path.lstrip("/"))
        parents = (str(parent) for parent in PurePosixPath(place).parents)
        return self.paths.get(place) in (*kinds, Type.LINK) or any(
            self.paths.get(parent) is Type.LINK for parent in parents
        )


def tree_place(name: str) -> str:
    """Where in the tree a path of a package lies."""
    for old, new in (*COMPAT.items(), ("etc", ETC), *INNER.items()):
        if name.startswith(f"{old}/"):
            name = f"{new}/{name[len(old) + 1 :]}"
    return name


def is_account_file(place: str) -> bool:
    return place in EXISTING or (place.endswith(".conf") and str(PurePosixPath(place).parent) in SYSUSERS)


def check_backing(loaded: LoadedManifest, provided: Provided) -> None:
    """Refuse accounts and locales that nothing in the image backs, each at its place in the manifest."""
    accounts = read_accounts(provided.accounts)
    clashes = (
        _clash(loaded, clash, accounts) for clash in accounts.clashes if clash.account.file == MANIFEST
    )
    raise_all([*clashes, *_paths(loaded, provided), *_locales(loaded, provided)])


def _clash(loaded: LoadedManifest, clash: Clash, accounts: Accounts) -> ColvertError:
    account, hint = clash.account, "choose another name or id"
    key = "users" if account.kind == USER else "groups"
    names = [one.name for one in getattr(loaded.manifest, key)]
    # a user's own group has its place at the user
    if account.name not in names:
        key, names = "users", [user.name for user in loaded.manifest.users]
    number = names.index(account.name)
    place: Loc = (key, number, "id")
    what = clash.what
    if clash.group:
        place = (key, number, "groups", loaded.manifest.users[number].groups.index(clash.group))
        what += nearest(clash.group, accounts.groups)
        hint = f"add {clash.group} to `groups` with an id"
    return ColvertError(Code.MANIFEST_INVALID, what, where=loaded.origin(place), hint=hint)


def _paths(loaded: LoadedManifest, provided: Provided) -> Iterator[ColvertError]:
    for number, user in enumerate(loaded.manifest.users):
        if PurePosixPath(user.shell).name not in NO_SHELLS and not provided.has(user.shell, Type.FILE):
            shells = sorted(
                f"/{path}" for path in provided.paths if PurePosixPath(path).name in ("bash", "sh")
            )
            yield ColvertError(
                Code.MANIFEST_INVALID,
                f"the shell {user.shell} of {user.name} is in no package of the image",
                where=loaded.origin(("users", number, "shell")),
                hint=" or ".join(
                    ["add its package to `packages`", *(f"use {shell}" for shell in shells[:1])]
                ),
            )
        if (
            not is_made_at_boot(user.home)
            and user.home != "/"
            and not provided.has(user.home, Type.DIRECTORY)
        ):
            yield ColvertError(
                Code.MANIFEST_INVALID,
                f"the home {user.home} of {user.name} is no directory of the image",
                where=loaded.origin(("users", number, "home")),
                hint=f"choose a path that the machine can create, such as /home/{user.name}",
            )


def is_made_at_boot(home: str) -> bool:
    """Whether a home is on the machine's own file system; /usr is read-only, and /etc is laid over it."""
    return home != "/" and home.split("/")[1] not in ("usr", "etc", *COMPAT)


def _locales(loaded: LoadedManifest, provided: Provided) -> Iterator[ColvertError]:
    there = sorted({path.split("/")[3] for path in provided.paths if path.startswith(f"{LOCALES}/")})
    for number, locale in enumerate(loaded.manifest.locales):
        # as glibc looks for it; an archive may have any
        names = (locale, locale.replace(".UTF-8", ".utf8"), "locale-archive")
        if not any(name in there for name in names):
            known = [name.replace(".utf8", ".UTF-8") for name in there]
            hint = f"add a package or files with /{LOCALES}/{names[1]} (localedef makes it)"
            yield ColvertError(
                Code.MANIFEST_INVALID,
                f"the locale {quote(locale)} is in no package of the image",
                where=loaded.origin(("locales", number)),
                hint=hint + (f", or use {known[0]}" if known else ""),
            )


def account_files(loaded: LoadedManifest) -> Mapping[str, str]:
    """The manifest's users and groups as the files in which systemd wants them, by path."""
    manifest = loaded.manifest
    lines = [f"g {group.name} {group.id}\n" for group in manifest.groups]
    for user in manifest.users:
        lines.append(f'u {user.name} {user.id} "{user.name}" {user.home} {user.shell}\n')
        lines += [f"m {user.name} {group}\n" for group in user.groups]
    # `:` leaves a directory that is there as it is
    homes = {user.home: f"d {user.home} :0700 :{user.name} :{user.name} -\n" for user in manifest.users}
    made = [line for home, line in homes.items() if is_made_at_boot(home)]
    files = {f"usr/lib/sysusers.d/{MANIFEST}": lines, f"usr/lib/tmpfiles.d/{MANIFEST}": made}
    return {path: "".join(texts) for path, texts in files.items() if texts}
