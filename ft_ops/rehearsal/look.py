"""What of a cluster stands in the way of a newer version, by its catalog and the live server.

pg_upgrade's own check stops at the first of some of these. Here all of them are named at once, with
what it passes over: what is lost, invalid, deprecated, or must be made anew afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.rows import one_row
from ft_ops.pg.server import Server
from ft_ops.pg.sqlfiles import statement
from ft_ops.rehearsal.findings import RehearsalFinding, Weight
from ft_ops.rehearsal.known import Known, LiveSetting

_NUMBERS_OF_OBJECTS: Final = (
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
)
"""Types that store the number of an object, which has another one afterwards. Those of regclass,
regrole and regtype stay."""

INVALID_INDEX: Final = "invalid index"

_ACL_CHANGED: Final = 16
_SLOTS_KEPT_SINCE: Final = 17
_MD5_DEPRECATED_SINCE: Final = 18

_OPEN: Final = "open"
_NOT_OPEN: Final = {
    "closed": "pg_upgrade must get in: ALTER DATABASE … ALLOW_CONNECTIONS true, or drop it",
    "invalid": "an interrupted DROP DATABASE has left it, and nobody gets in: DROP DATABASE it",
}

_KINDS: Final[tuple[tuple[str, Weight, str, str], ...]] = (
    (
        "columns_of_catalogs",
        "refuses",
        "rows of the catalog",
        "it stores {}, whose form each version changes: make it text or jsonb",
    ),
    (
        "unlogged",
        "note",
        "unlogged table",
        "{} here: no backup has its rows, so they were not rehearsed. The real upgrade keeps them",
    ),
    (
        "hash_indexes",
        "note",
        "hash index",
        "it is carried over as it is, and amcheck does not look at it: REINDEX it if in doubt",
    ),
    (
        "invalid_indexes",
        "work",
        INVALID_INDEX,
        "of {}: the upgrade leaves it out. Rebuild it first if it is wanted, or drop it",
    ),
    (
        "subscriptions",
        "work",
        "subscription",
        "it is {}: disable it before the upgrade, and enable it when the publisher was seen",
    ),
)


@dataclass(frozen=True, slots=True)
class Live:
    """What only the live server tells: no backup has its slots, standbys and files of settings."""

    slots: tuple[tuple[str, str, str], ...]
    standbys: tuple[str, ...]
    settings: tuple[LiveSetting, ...]

    @property
    def planners(self) -> Mapping[str, str]:
        """The settings by which the live server plans its queries."""
        return {s.name: f"{s.setting}{s.unit_word}" for s in self.settings if s.is_planners}


@dataclass(frozen=True, slots=True)
class OrderedIndex:
    """An index and a collation that orders it, None for the database's own.

    ``version``: that of the library by which it was made.
    """

    index: str
    collation: str | None
    version: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """A database: the version of its own collation, None where it has none, and its indexes."""

    version: str | None
    indexes: tuple[OrderedIndex, ...]


def look_at_live(connection: Connection) -> Live:
    """Ask the live server; nothing is locked."""
    with connection.cursor(row_factory=class_row(LiveSetting)) as cursor:
        settings = cursor.execute(statement("rehearsal/settings")).fetchall()
    slots = connection.execute(statement("rehearsal/slots")).fetchall()
    standbys = connection.execute(statement("rehearsal/standbys")).fetchall()
    return Live(
        tuple((name, kind, plugin) for name, kind, plugin in slots),
        tuple(name for (name,) in standbys),
        tuple(settings),
    )


def look_at_cluster(
    server: Server, superuser: str, database: str, known: Known
) -> list[RehearsalFinding]:
    """Everything that the catalog of a running copy says of an upgrade to what is ``known``."""
    found: list[RehearsalFinding] = []
    with connected(server.url(database, user=superuser), application="rehearsal") as connection:
        databases = connection.execute(statement("rehearsal/databases")).fetchall()
        found += _of_the_cluster(connection, known)
    for name, state in databases:
        if state != _OPEN:
            words = _NOT_OPEN[state]
            found.append(RehearsalFinding("refuses", f"{state} database", name, words))
            continue
        url = server.url(name, user=superuser)
        with connected(url, application="rehearsal") as connection:
            prefix = "" if name == database else f"{name}: "
            found += (
                RehearsalFinding(f.weight, f.kind, prefix + f.subject, f.words)
                for f in _of_a_database(connection, known)
            )
    return found


def look_at_collations(server: Server, superuser: str, database: str) -> dict[str, Ordered]:
    """By what each database of the cluster and its indexes are ordered, before the upgrade."""
    with connected(server.url(database, user=superuser), application="rehearsal") as connection:
        databases = connection.execute(statement("rehearsal/databases")).fetchall()
    found = {}
    for name, state in databases:
        if state == _OPEN:
            with connected(server.url(name, user=superuser), application="rehearsal") as connection:
                found[name] = _ordered(connection)
    return found


def _ordered(connection: Connection) -> Ordered:
    (version,) = one_row(connection.execute(statement("rehearsal/collation_of_database")))
    with connection.cursor(row_factory=class_row(OrderedIndex)) as cursor:
        indexes = cursor.execute(statement("rehearsal/collations_of_indexes")).fetchall()
    return Ordered(version, tuple(indexes))


def look_after(
    server: Server, superuser: str, database: str, known: Known, ordered: Mapping[str, Ordered]
) -> Iterator[RehearsalFinding]:
    """What is left to do in each database of the new version."""
    for name, before in ordered.items():
        with connected(server.url(name, user=superuser), application="rehearsal") as connection:
            prefix = "" if name == database else f"{name}: "
            for f in _left_to_do(connection, known, name, before):
                subject = f.subject if f.subject == name else prefix + f.subject
                yield RehearsalFinding(f.weight, f.kind, subject, f.words)


def _left_to_do(
    connection: Connection, known: Known, name: str, before: Ordered
) -> Iterator[RehearsalFinding]:
    yield from _of_collations(connection, name, before)
    if known.major >= _MD5_DEPRECATED_SINCE:
        for index, operators in connection.execute(statement("rehearsal/text_search_indexes")):
            words = f"its {operators} follow the database's collation from 18 on: REINDEX it"
            yield RehearsalFinding("work", "text search", index, words)


def of_live(live: Live, known: Known) -> Iterator[RehearsalFinding]:
    """What the live server would lose, or could not start with."""
    for name, kind, plugin in live.slots:
        if kind == "logical" and known.major >= _SLOTS_KEPT_SINCE <= known.old_major:
            words = f"of {plugin}: it is carried over if its reader has caught up"
            yield RehearsalFinding("work", "logical slot", name, words)
        elif kind == "logical":
            words = (
                f"of {plugin}: it is lost. Stop what it reads, let it catch up, make it anew "
                "before anybody writes"
            )
            yield RehearsalFinding("work", "logical slot", name, words)
        else:
            words = "it is lost: make it anew, and its standby from a new base backup"
            yield RehearsalFinding("work", "physical slot", name, words)
    for standby in live.standbys:
        words = "it can't follow an upgraded primary: make it anew, or rsync as the manual says"
        yield RehearsalFinding("work", "standby", standby, words)
    for setting in live.settings:
        problem = known.problem_with(setting.name, setting.setting)
        if problem is not None:
            yield RehearsalFinding(
                "work", "setting", setting.name, f"{problem}, or the server won't start"
            )


def _of_collations(
    connection: Connection, name: str, before: Ordered
) -> Iterator[RehearsalFinding]:
    """A database and indexes whose order another version of the collation's library has made."""
    ordered = before.indexes
    names = sorted({index.collation for index in ordered if index.collation is not None})
    rows = connection.execute(statement("rehearsal/collation_versions"), {"names": names})
    now: dict[str | None, str | None] = dict(rows.fetchall())
    if before.version is not None and now.get(None) != before.version:
        words = (
            f"its own collation is of version {before.version}, the new server has "
            f"{now.get(None) or 'none'}: REINDEX what it orders, then ALTER DATABASE … REFRESH "
            "COLLATION VERSION"
        )
        yield RehearsalFinding("work", "collation", name, words)
    for index in ordered:
        if now.get(index.collation) != index.version:
            collation = index.collation or "the database's own collation"
            words = (
                f"ordered by {collation} of version {index.version}, the new server has "
                f"{now.get(index.collation) or 'none'}: REINDEX it before anybody relies on it"
            )
            yield RehearsalFinding("work", "collation", index.index, words)


def _of_the_cluster(connection: Connection, known: Known) -> Iterator[RehearsalFinding]:
    for gid, whose in connection.execute(statement("rehearsal/prepared")).fetchall():
        words = f"{whose}: COMMIT PREPARED or ROLLBACK PREPARED before the upgrade"
        yield RehearsalFinding("refuses", "prepared transaction", gid, words)
    for name, location in connection.execute(statement("rehearsal/tablespaces")).fetchall():
        if location.startswith("/"):
            words = "the new version makes a folder of its own in it: see its rights and its room"
            yield RehearsalFinding("note", "tablespace", name, words)
        else:
            words = (
                "it was made after the full backup, so its copy lies where pg_upgrade can't take "
                "it from: take a full, and rehearse from that"
            )
            yield RehearsalFinding("unknown", "tablespace", name, words)
    for name, setting, whose in connection.execute(statement("rehearsal/kept_settings")).fetchall():
        problem = known.problem_with(name, setting)
        if problem is not None:
            words = f"set for {whose}: {problem}. pg_upgrade fails on it: RESET it there"
            yield RehearsalFinding("refuses", "setting", name, words)
    if known.major >= _MD5_DEPRECATED_SINCE:
        for role, _ in connection.execute(statement("rehearsal/md5_passwords")).fetchall():
            words = "its password is kept as MD5, which is deprecated: set it anew as SCRAM"
            yield RehearsalFinding("note", "password", role, words)


def _of_a_database(connection: Connection, known: Known) -> Iterator[RehearsalFinding]:
    yield from _by_type(
        connection,
        _NUMBERS_OF_OBJECTS,
        "number of an object",
        "it stores {}, whose numbers change: make it text",
    )
    if known.old_major < _ACL_CHANGED <= known.major:
        words = "it stores {}, whose form has changed: make it text"
        yield from _by_type(connection, ("aclitem",), "changed type", words)
    used = {name for (name,) in connection.execute(statement("rehearsal/types_in_use"))}
    words = "it stores {}, which the new version does not know: change its type"
    yield from _by_type(connection, sorted(used - known.types), "removed type", words)
    for name, weight, kind, words in _KINDS:
        for subject, detail in connection.execute(statement(f"rehearsal/{name}")).fetchall():
            yield RehearsalFinding(weight, kind, subject, words.format(detail))
    for name, version in connection.execute(statement("rehearsal/extensions")).fetchall():
        offered = known.extensions.get(name)
        if offered is None:
            words = f"version {version} is installed, and the new version's programs lack it"
            yield RehearsalFinding(
                "refuses", "extension", name, f"{words}: install it there, or drop it"
            )
        elif offered != version:
            words = f"{version} here, {offered} there: ALTER EXTENSION {name} UPDATE afterwards"
            yield RehearsalFinding("work", "extension", name, words)


def _by_type(
    connection: Connection, types: Iterable[str], kind: str, words: str
) -> Iterator[RehearsalFinding]:
    asked = list(types)
    if not asked:
        return
    rows = connection.execute(statement("rehearsal/columns_of_types"), {"types": asked})
    for column, shown in rows.fetchall():
        yield RehearsalFinding("refuses", kind, column, words.format(shown))


def size_of(connection: Connection) -> int:
    """Bytes of the connection's database."""
    return int(one_row(connection.execute(statement("rehearsal/size")))[0])
