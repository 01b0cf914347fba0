"""Brings a subject's rows from the copy into temporary tables beside the live ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.restore.read.families import ways_of
from ft_ops.restore.read.graph import ForeignKey, Scope, SubjectTable, Way
from ft_ops.restore.read.load import Loading
from ft_ops.restore.read.sides import Ids, Side, with_owners

MAINTAINED: Final = frozenset({"updated_at", "storage_used_bytes"})
"""Columns that the database and the operations keep: no difference, and never overwritten."""


@dataclass(frozen=True, slots=True)
class Copied:
    """The rows that the copy has of one table. ``columns``: those that both sides have.

    ``ways``: how its rows lead to families, in the order of what the copy says they are.
    ``late``: its references to rows that are written after its own.
    """

    table: SubjectTable
    rows: sql.Identifier
    columns: tuple[str, ...]
    ways: tuple[Way, ...]
    late: tuple[ForeignKey, ...]

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns in which a row counts as changed."""
        return tuple(
            name
            for name in self.columns
            if name not in MAINTAINED
            # Numbered by the database: no statement can set it in a row that is there.
            and (name in self.table.key or self.table.columns[name].identity != "a")
        )

    @property
    def assigned(self) -> tuple[str, ...]:
        """The columns that are overwritten."""
        return tuple(name for name in self.compared if name not in self.table.key)

    @property
    def media(self) -> tuple[str, ...]:
        """The columns that name objects which no database holds."""
        return tuple(
            name
            for name in self.columns
            if name.endswith(("_url", "_urls"))
            and self.table.columns[name].type in {"text", "text[]"}
        )

    def same_key(self, live: str = "l") -> sql.Composable:
        """A condition: a row of ``live`` bears the key of the copied row ``c``."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier(live, name), sql.Identifier("c", name))
            for name in self.table.key
        )

    def is_same(self, columns: Sequence[str]) -> sql.Composable:
        """A condition: the live row ``l`` has the copied row's values."""
        return sql.SQL("ROW({})::text = ROW({})::text").format(
            listed(columns, "l"), listed(columns, "c")
        )


def listed(columns: Sequence[str], alias: str | None = None) -> sql.Composable:
    """``l."id", l."title", …``."""
    return sql.SQL(", ").join(
        sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in columns
    )


def copy_rows(copy: Side, live: Side, scope: Scope, ids: Ids) -> dict[str, Copied]:
    """Load what the copy has of every table of the scope; by the table's name, parents first."""
    return {
        table.name: _load(copy, live.connection, table, f"restored_{number}", scope, ids)
        for number, table in enumerate(scope.tables)
    }


def _load(
    copy: Side, live: Connection, table: SubjectTable, name: str, scope: Scope, ids: Ids
) -> Copied:
    known = copy.columns(table.name) if copy.has(table.name) else {}
    columns = tuple(
        column.name
        for column in table.columns.values()
        if column.name in known and not column.is_generated
    )
    ways = ways_of(scope.catalog, table.name)
    late = tuple(
        key for key in scope.late if key.child == table.name and set(key.columns) <= set(columns)
    )
    copied = Copied(table, sql.Identifier("pg_temp", name), columns, ways, late)
    loading = Loading(live, table, name, columns, known)
    loading.create()
    if not columns:
        return copied
    leading = (column for way in ways for column in way[0].columns)
    source = sql.SQL("COPY (SELECT {}, {} FROM {} AS r WHERE {}) TO STDOUT").format(
        listed(columns, "r"),
        copy.families_of(ways, "r"),
        copy.rows(table, with_owners(scope, table, (*columns, *leading)), waiting=True),
        copy.belongs(table, scope, ids, "r"),
    )
    target = sql.SQL("COPY {} ({}, ft_families) FROM STDIN").format(loading.texts, listed(columns))
    with (
        copy.connection.cursor() as reading,
        live.cursor() as writing,
        reading.copy(source) as out,
        writing.copy(target) as into,
    ):
        for block in out:
            into.write(block)
    loading.take()
    live.execute(sql.SQL("CREATE INDEX ON {} ({})").format(copied.rows, listed(copied.table.key)))
    live.execute(sql.SQL("ANALYZE {}").format(copied.rows))
    return copied
