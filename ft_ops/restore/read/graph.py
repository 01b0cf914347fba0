"""Which tables hold a subject's rows: those that hang on it by foreign keys, read from the catalog.

A table that a later migration adds is found like all others, if what it belongs to is a column that
must be set, or goes with it (ON DELETE CASCADE).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.subject import Subject

SEGMENTS: Final = "public.content_segments"
ARCHIVED: Final = "public.archived_content_segments"
KEYS: Final = "public.content_segment_keys"
LINKS: Final = "public.content_links"
USERS: Final = "public.users"
FAMILIES: Final = "public.families"

_WRITTEN_BY_TRIGGERS: Final = frozenset({ARCHIVED, KEYS})
"""Segments are one table here, wherever their months are, and their keys follow them."""

_NOT_A_USERS: Final = frozenset(
    {
        ("public.families", "owner_id"),
        ("public.family_members", "invited_by"),
        ("public.family_invites", "invited_by"),
        ("public.family_invites", "accepted_by"),
    }
)
"""References to a user that make a row no part of what is his."""

_MADE_BY_A_USER: Final = frozenset({("public.photo_narrations", "created_by")})
"""What is a user's although the column may be empty."""

_HOLDS_OTHERS_CONTENT: Final = frozenset({"public.memory_books", "public.threads"})
"""A user's own row of these is his; what others put into it is not."""


@dataclass(frozen=True, slots=True)
class SubjectColumn:
    """A column as the catalog has it; ``type`` is format_type's spelling.

    ``identity``: a or d where the database numbers it, always or by default; else empty.
    """

    name: str
    type: str
    not_null: bool
    is_generated: bool
    identity: str


@dataclass(frozen=True, slots=True)
class SubjectTable:
    """A table, or a partitioned one as a whole; ``key`` is empty without a primary key."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, SubjectColumn]

    @property
    def identifier(self) -> sql.Identifier:
        return identifier(self.name)

    @property
    def quoted(self) -> str:
        """Its name as regclass reads it."""
        return self.identifier.as_string()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``child`` refers to ``parent``; ``on_delete``: c cascades, n sets NULL."""

    name: str
    child: str
    parent: str
    columns: tuple[str, ...]
    referenced: tuple[str, ...]
    on_delete: str


Way: TypeAlias = tuple[ForeignKey, ...]
"""References from a row to its family, one after the other; the last one's column names it."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tables and foreign keys of one database.

    ``alone``: months that are no partition; ``waiting_links``: the columns of links that wait.
    ``reserves``: whether it knows the keys of segments that are in the archive alone.
    """

    tables: Mapping[str, SubjectTable]
    foreign_keys: tuple[ForeignKey, ...]
    alone: tuple[str, ...]
    waiting_links: frozenset[str]
    reserves: bool

    def requires(self, key: ForeignKey) -> bool:
        """Whether a row can't be there without what it refers to by this."""
        columns = self.tables[key.child].columns
        return all(columns[name].not_null for name in key.columns)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a subject consists of: its tables, parents first, and how each hangs on the others."""

    subject: Subject
    catalog: Catalog
    tables: tuple[SubjectTable, ...]
    owners: Mapping[str, tuple[ForeignKey, ...]]
    without_key: tuple[str, ...]

    @property
    def parents(self) -> tuple[str, ...]:
        """The tables on whose rows others hang, parents first."""
        named = {key.parent for keys in self.owners.values() for key in keys}
        order = [table.name for table in self.tables]
        if SEGMENTS in order:
            order.insert(order.index(SEGMENTS) + 1, KEYS)
        return tuple(name for name in order if name in named)

    @property
    def late(self) -> tuple[ForeignKey, ...]:
        """References that close a circle: to rows that are written after the row itself.

        Months are in two tables, and the keys of both are written with their rows.
        """
        order = [table.name for table in self.tables]
        return tuple(
            key
            for key in self.catalog.foreign_keys
            if key.child in order
            and (parent := _written_as(key)) in order
            and not self.catalog.requires(key)
            and (order.index(parent) > order.index(key.child) or parent == key.child == SEGMENTS)
        )


def identifier(name: str) -> sql.Identifier:
    """The identifier of a qualified name."""
    return sql.Identifier(*name.split(".", 1))


def read_catalog(connection: Connection) -> Catalog:
    """The tables of a database, of this one or of an older version of it."""
    alone = tuple(row[0] for row in connection.execute(statement("restore/months_alone")))
    keys = {
        f"{schema}.{name}": tuple(columns)
        for schema, name, columns in connection.execute(statement("restore/primary_keys"))
    }
    columns: dict[str, dict[str, SubjectColumn]] = {}
    for schema, name, *described in connection.execute(statement("restore/columns")):
        column = SubjectColumn(*described)
        columns.setdefault(f"{schema}.{name}", {})[column.name] = column
    tables = {
        name: SubjectTable(name, keys.get(name, ()), found) for name, found in columns.items()
    }
    with connection.cursor(row_factory=class_row(ForeignKey)) as cursor:
        found = cursor.execute(statement("restore/foreign_keys")).fetchall()
    foreign_keys = (
        *(_with_tuples(key) for key in found if key.child not in alone),
        # A key outlives the move of its segment between two tables: no foreign key says this.
        ForeignKey("key_of_thread", KEYS, "public.threads", ("thread_id",), ("id",), "c"),
    )
    waiting = frozenset(row[0] for row in connection.execute(statement("restore/waiting_links")))
    reserves = one_row(connection.execute("SELECT to_regclass('ops.purged_segments') IS NOT NULL"))
    return Catalog(tables, foreign_keys, alone, waiting, bool(reserves[0]))


def scope_of(catalog: Catalog, subject: Subject) -> Scope:
    """The tables that hold rows of ``subject``, parents before what hangs on them."""
    owners: dict[str, list[ForeignKey]] = {subject.root: []}
    waiting = [subject.root]
    if subject.kind == "user":
        # His segments' keys are found by their segments.
        owners[KEYS] = []
        waiting.append(KEYS)
    while waiting:
        parent = waiting.pop(0)
        for key in _hanging_on(catalog, parent, subject):
            if key.child not in owners:
                owners[key.child] = []
                if subject.kind != "user" or key.child not in _HOLDS_OTHERS_CONTENT:
                    waiting.append(key.child)
            if key not in owners[key.child]:
                owners[key.child].append(key)
    named = [name for name in owners if name not in _WRITTEN_BY_TRIGGERS]
    usable = [name for name in named if catalog.tables[name].key]
    return Scope(
        subject,
        catalog,
        tuple(catalog.tables[name] for name in _parents_first(usable, catalog)),
        {name: tuple(keys) for name, keys in owners.items()},
        tuple(sorted(set(named) - set(usable))),
    )


def _hanging_on(catalog: Catalog, parent: str, subject: Subject) -> Iterator[ForeignKey]:
    for key in catalog.foreign_keys:
        if key.parent != parent or key.child in {ARCHIVED, subject.root, USERS}:
            continue
        column = (key.child, key.columns[0])
        if parent == USERS and column in _NOT_A_USERS:
            continue
        if key.on_delete == "c" or column in _MADE_BY_A_USER or catalog.requires(key):
            yield key


def _parents_first(names: Sequence[str], catalog: Catalog) -> Iterator[str]:
    """Those that refer to none of the others first.

    Of a circle, one whose references into it may be empty: they are written later.
    """
    among = [
        key
        for key in catalog.foreign_keys
        if key.child in names and key.parent != key.child and _written_as(key) in names
    ]
    waiting = list(names)
    while waiting:
        needing = {key.child for key in among if _written_as(key) in waiting}
        required = {
            key.child for key in among if _written_as(key) in waiting and catalog.requires(key)
        }
        free = [name for name in waiting if name not in needing]
        first = free or [name for name in waiting if name not in required][:1] or waiting[:1]
        waiting = [name for name in waiting if name not in first]
        yield from first


def _written_as(key: ForeignKey) -> str:
    """The table with which the rows come that a reference leads to."""
    return SEGMENTS if key.parent == KEYS else key.parent


def _with_tuples(key: ForeignKey) -> ForeignKey:
    return ForeignKey(
        key.name, key.child, key.parent, tuple(key.columns), tuple(key.referenced), key.on_delete
    )
