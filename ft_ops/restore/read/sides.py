"""Reads a subject's rows, in the copy and in the live database by the same questions."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.restore.read.graph import (
    ARCHIVED,
    KEYS,
    LINKS,
    SEGMENTS,
    Catalog,
    ForeignKey,
    Scope,
    SubjectColumn,
    SubjectTable,
    Way,
    identifier,
    read_catalog,
)

Ids = Mapping[str, frozenset[tuple[str, ...]]]
"""Table → the keys of the subject's rows in it, as text; of the tables that others hang on."""

_WAITING = "ops.waiting_links"
_RESERVED = frozenset({"id", "thread_id", "sequence_number"})
"""What is known of a segment that is in the archive alone."""


@dataclass(frozen=True, slots=True)
class Side:
    """A database with a family's rows."""

    connection: Connection
    catalog: Catalog

    @classmethod
    def of(cls, connection: Connection) -> Side:
        """A whole database."""
        return cls(connection, read_catalog(connection))

    @property
    def where_else(self) -> str:
        """What to do when nothing of a subject is here."""
        return "check the id, and take a point at which it existed"

    def has(self, table: str) -> bool:
        return table in self.catalog.tables

    def columns(self, table: str) -> Mapping[str, SubjectColumn]:
        return self.catalog.tables[table].columns

    def rows(
        self, table: SubjectTable, columns: Sequence[str], *, waiting: bool = False
    ) -> sql.Composable:
        """The rows of a table as a relation: of segments, those of every month, wherever it is.

        ``waiting``: with the links that wait for a month of the archive.
        """
        if table.name == SEGMENTS:
            parts = [
                self._part(name, columns, table)
                for name in (SEGMENTS, ARCHIVED, *self.catalog.alone)
                if self.has(name)
            ]
        else:
            parts = [self._part(table.name, columns, table)]
        if table.name == LINKS and waiting and self.catalog.waiting_links:
            parts.append(
                sql.SQL(
                    # For each month that it waits for, a link is there once.
                    "(SELECT DISTINCT ON (w.id) {} FROM {} AS w"
                    " WHERE NOT EXISTS (SELECT FROM {} AS l WHERE l.id = w.id) ORDER BY w.id)"
                ).format(
                    _listed(columns, self.catalog.waiting_links, table),
                    identifier(_WAITING),
                    identifier(LINKS),
                )
            )
        return sql.SQL("({})").format(sql.SQL(" UNION ALL ").join(parts))

    def _part(
        self,
        name: str,
        columns: Sequence[str],
        table: SubjectTable,
        relation: sql.Composable | None = None,
    ) -> sql.Composable:
        """A table's columns in one order; one that this table lacks is empty there."""
        return sql.SQL("SELECT {} FROM {}").format(
            _listed(columns, self.columns(name), table), relation or identifier(name)
        )

    def families_of(self, ways: Sequence[Way], alias: str) -> sql.Composable:
        """An expression: the families of a row by each of these ways, in their order."""
        return sql.SQL("ARRAY[{}]::uuid[]").format(
            sql.SQL(", ").join(self.family_of(way, alias) for way in ways)
        )

    def family_of(self, way: Way, alias: str) -> sql.Composable:
        """An expression: the family of the row ``alias`` by one way; NULL where that is broken."""
        first, *others = way
        if not others:
            return sql.Identifier(alias, first.columns[0])
        before, places, pairs = alias, [], []
        for number, (key, following) in enumerate(zip(way, others, strict=False)):
            columns = tuple(dict.fromkeys((*key.referenced, *following.columns)))
            place = self._place(key.parent, columns)
            if place is None:
                return sql.SQL("NULL::uuid")
            now = f"{alias}{number}"
            places.append(sql.SQL("{} AS {}").format(place, sql.Identifier(now)))
            pairs += self._pairs(key, now, before)
            before = now
        return sql.SQL("(SELECT {} FROM {} WHERE {} LIMIT 1)").format(
            sql.Identifier(before, others[-1].columns[0]),
            sql.SQL(", ").join(places),
            sql.SQL(" AND ").join(pairs),
        )

    @staticmethod
    def _pairs(key: ForeignKey, parent: str, child: str) -> list[sql.Composed]:
        """What makes a row of ``parent`` the one that a row of ``child`` refers to."""
        return [
            sql.SQL("{} = {}").format(sql.Identifier(parent, there), sql.Identifier(child, here))
            for here, there in zip(key.columns, key.referenced, strict=True)
        ]

    def _place(self, table: str, columns: Sequence[str]) -> sql.Composable | None:
        """The rows of a table that rows hang on, as a relation; None where it has no such columns.

        The key of a segment that is in the archive alone is reserved, and tells its thread.
        """
        name = SEGMENTS if table == KEYS and not self.has(KEYS) else table
        if not self.has(name) or not set(columns) <= self.columns(name).keys():
            return None
        parts = [self.rows(self.catalog.tables[name], columns)]
        if table == KEYS and self.catalog.reserves and set(columns) <= _RESERVED:
            casts = (
                sql.SQL("{0}::{1} AS {0}").format(
                    sql.Identifier(column), sql.SQL(self.columns(name)[column].type)
                )
                for column in columns
            )
            parts.append(
                sql.SQL("(SELECT {} FROM ops.purged_segments)").format(sql.SQL(", ").join(casts))
            )
        return sql.SQL("({})").format(sql.SQL(" UNION ALL ").join(parts))

    def ids(self, scope: Scope) -> Ids:
        """The keys of the subject's rows in each table that others hang on."""
        found: dict[str, frozenset[tuple[str, ...]]] = {
            scope.subject.root: frozenset({(str(scope.subject.id),)})
        }
        for name in scope.parents:
            if name == scope.subject.root:
                continue
            by_segments = name == KEYS and not (scope.owners[KEYS] and self.has(KEYS))
            table = scope.catalog.tables[SEGMENTS if by_segments else name]
            if not self.has(table.name):
                found[name] = frozenset()
                continue
            found[name] = frozenset(
                self._keys(table, scope, found, ("id",) if name == KEYS else ())
            )
        return found

    def _keys(
        self, table: SubjectTable, scope: Scope, known: Ids, key: tuple[str, ...]
    ) -> Iterable[tuple[str, ...]]:
        """Those of the rows that hang on known ones, and on rows of their own table."""
        key = key or table.key
        own = [owner for owner in scope.owners[table.name] if owner.parent == table.name]
        found: set[tuple[str, ...]] = set()
        ids = dict(known)
        while True:
            query = sql.SQL("SELECT {} FROM {} AS r WHERE {}").format(
                sql.SQL(", ").join(sql.SQL("r.{}::text").format(sql.Identifier(c)) for c in key),
                self.rows(table, with_owners(scope, table, key)),
                self.belongs(table, scope, ids, "r"),
            )
            now = set(self.connection.execute(query).fetchall())
            if not own or now <= found:
                return now
            found |= now
            ids[table.name] = frozenset(found)

    def belongs(self, table: SubjectTable, scope: Scope, ids: Ids, alias: str) -> sql.Composable:
        """A condition: whether a row is the subject's, by what it hangs on."""
        conditions = [
            among(alias, owner, self._keyed(scope, owner.parent), ids.get(owner.parent, ()))
            for owner in scope.owners[table.name]
        ]
        if table.name == scope.subject.root:
            conditions.append(
                sql.SQL("{} = {}").format(
                    sql.Identifier(alias, table.key[0]), sql.Literal(str(scope.subject.id))
                )
            )
        return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions or [sql.SQL("false")]))

    def _keyed(self, scope: Scope, table: str) -> SubjectTable:
        """A table of the scope with the types of its key here, which may be others than live."""
        known = scope.catalog.tables[table]
        here = self.columns(table) if self.has(table) else {}
        return replace(known, columns={**known.columns, **here})


def among(
    alias: str, owner: ForeignKey, parent: SubjectTable, ids: Collection[tuple[str, ...]]
) -> sql.Composable:
    """A condition: whether a row refers to one of the rows of ``parent`` with these keys."""
    if tuple(owner.referenced) != parent.key:
        inner = _one_of("p", parent.key, parent, ids)
        pairs = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("p", there), sql.Identifier(alias, here))
            for here, there in zip(owner.columns, owner.referenced, strict=True)
        )
        return sql.SQL("EXISTS (SELECT FROM {} AS p WHERE {} AND {})").format(
            parent.identifier, pairs, inner
        )
    return _one_of(alias, owner.columns, parent, ids)


def _one_of(
    alias: str, columns: Sequence[str], parent: SubjectTable, ids: Collection[tuple[str, ...]]
) -> sql.Composable:
    types = [parent.columns[name].type for name in parent.key]
    lists = [sql.Literal(list(values)) for values in zip(*sorted(ids), strict=True)] or [
        sql.Literal([]) for _ in types
    ]
    arrays = [
        sql.SQL("{}::{}[]").format(values, sql.SQL(kind))
        for values, kind in zip(lists, types, strict=True)
    ]
    named = [sql.Identifier(alias, name) for name in columns]
    if len(named) == 1:
        return sql.SQL("{} = ANY ({})").format(named[0], arrays[0])
    return sql.SQL("({}) IN (SELECT * FROM unnest({}))").format(
        sql.SQL(", ").join(named), sql.SQL(", ").join(arrays)
    )


def with_owners(scope: Scope, table: SubjectTable, columns: Sequence[str]) -> list[str]:
    """Columns of a table, with those by which its rows hang on others."""
    owning = (name for owner in scope.owners[table.name] for name in owner.columns)
    return list(dict.fromkeys((*columns, *owning)))


def _listed(columns: Sequence[str], there: Container[str], table: SubjectTable) -> sql.Composable:
    chosen = (
        sql.Identifier(column)
        if column in there
        else sql.SQL("NULL::{} AS {}").format(
            sql.SQL(table.columns[column].type), sql.Identifier(column)
        )
        for column in columns
    )
    return sql.SQL(", ").join(chosen)
