"""Reads a subject's rows in an archived month, which holds content and nothing else.

What the content hangs on, threads and books, is asked of the live database: an archived segment
goes where its thread is, and its family is the one that it was exported with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from ft_ops.archive import MonthBeside
from ft_ops.pg.connect import Connection
from ft_ops.restore.read.graph import KEYS, SEGMENTS, Scope, SubjectColumn, SubjectTable, Way
from ft_ops.restore.read.sides import Ids, Side


@dataclass(frozen=True, slots=True)
class ArchivedSide(Side):
    """A month beside the live tables. ``catalog`` is the live database's, whose columns it has."""

    month: MonthBeside

    @classmethod
    def beside(cls, connection: Connection, month: MonthBeside) -> ArchivedSide:
        """The month as the connection sees it that has loaded it."""
        return cls(connection, Side.of(connection).catalog, month)

    def has(self, table: str) -> bool:
        return table in self.month.relations

    def columns(self, table: str) -> Mapping[str, SubjectColumn]:
        known = self.catalog.tables[table].columns
        return {name: known[name] for name in known if name in self.month.columns[table]}

    def rows(
        self,
        table: SubjectTable,
        columns: Sequence[str],
        *,
        waiting: bool = False,  # noqa: ARG002
    ) -> sql.Composable:
        """The archived rows of a table; no link waits here."""
        return sql.SQL("({})").format(
            self._part(table.name, columns, table, self.month.relations[table.name])
        )

    @property
    def where_else(self) -> str:
        return (
            "check the id; its threads must be in the database: if they were deleted, bring them "
            "back from a backup first"
        )

    def ids(self, scope: Scope) -> Ids:
        """The keys of the subject's rows: of the archive's own tables here, of others live."""
        found = dict(Side(self.connection, self.catalog).ids(scope))
        for name in scope.parents:
            table = scope.catalog.tables[SEGMENTS if name == KEYS else name]
            if self.has(table.name):
                key = ("id",) if name == KEYS else ()
                found[name] = frozenset(self._keys(table, scope, found, key))
        return found

    def families_of(self, ways: Sequence[Way], alias: str) -> sql.Composable:
        """As they were exported. What only the live database knows is what the content's own is."""
        known = [self._exported(way, alias) for way in ways]
        own = [family for family in known if family is not None]
        return sql.SQL("ARRAY[{}]::uuid[]").format(
            sql.SQL(", ").join(
                sql.SQL("coalesce({})").format(
                    sql.SQL(", ").join([family, *own] if family is not None else own)
                )
                if own
                else sql.SQL("NULL")
                for family in known
            )
        )

    def _exported(self, way: Way, alias: str) -> sql.Composable | None:
        """The family of the segment to which a way leads; None where it leads to none."""
        if way[0].child == SEGMENTS:
            return self._family(sql.Identifier(alias, "id"))
        before = alias
        places: list[sql.Composable] = []
        pairs: list[sql.Composable] = []
        for number, key in enumerate(way):
            if key.parent == KEYS:
                segment = sql.Identifier(before, key.columns[0])
                if not places:
                    return self._family(segment)
                return sql.SQL("(SELECT {} FROM {} WHERE {} LIMIT 1)").format(
                    self._family(segment),
                    sql.SQL(", ").join(places),
                    sql.SQL(" AND ").join(pairs),
                )
            if not self.has(key.parent):
                return None
            now = f"{alias}{number}"
            columns = (*key.referenced, *way[number + 1].columns)
            place = self.rows(self.catalog.tables[key.parent], tuple(dict.fromkeys(columns)))
            places.append(sql.SQL("{} AS {}").format(place, sql.Identifier(now)))
            pairs += self._pairs(key, now, before)
            before = now
        return None

    def _family(self, segment: sql.Composable) -> sql.Composable:
        return sql.SQL("(SELECT f.family_id FROM {} AS f WHERE f.id = {})").format(
            self.month.families, segment
        )
