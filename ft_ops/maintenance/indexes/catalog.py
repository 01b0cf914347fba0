"""What the catalog says of the indexes of the database's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import sql
from psycopg.rows import kwargs_row
from pydantic import TypeAdapter

from ft_ops.maintenance.indexes.btree import IndexColumn
from ft_ops.pg.beside_locks import Locked, beside_locks
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class IndexState:
    """One index. ``tuples`` and ``table_tuples`` are -1 as long as nobody has counted them.

    Unless ``is_counted``, two counters say different numbers of rows: ``live_rows`` is a guess.

    ``locked`` says who has it or its table to himself, and is empty on most days. Sizes are old
    figures then, and columns, predicate and definition are not known.
    """

    oid: int
    schema: str
    table_name: str
    name: str
    table_oid: int
    method: str
    is_partitioned: bool
    file_node: int
    bytes: int
    tuples: float
    table_bytes: int
    table_tuples: float
    live_rows: int
    vacuumed_at: datetime | None
    is_counted: bool
    is_exclusion: bool
    is_valid: bool
    is_temporary: bool
    fillfactor: int
    deduplicates: bool
    predicate: str | None
    columns: tuple[IndexColumn, ...]
    definition: str
    owner: str
    is_superusers: bool
    may_maintain: bool
    locked: str = ""

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def names(self) -> frozenset[str]:
        """What a person may call it: the schema can be left out of what lies in public."""
        plain = {self.name} if self.schema == "public" else set()
        return frozenset({self.qualified_name} | plain)

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def table(self) -> sql.Composable:
        """Its table, for use in a statement with values."""
        name = sql.Identifier(self.schema, self.table_name)
        return catalog_sql(name.as_string())


_COLUMNS = TypeAdapter(tuple[IndexColumn, ...])


def index_states(connection: Connection) -> list[IndexState]:
    """Every index, partitioned parents included, by schema, table and name. Waits for none."""

    def read(locked: Locked) -> list[IndexState]:
        with connection.cursor(row_factory=kwargs_row(_state)) as cursor:
            states = cursor.execute(
                statement("maintenance/index_states"), {"locked": locked.oids}
            ).fetchall()
        return [replace(state, locked=locked.by(state.oid, state.table_oid)) for state in states]

    return beside_locks(connection, "states of indexes", read)


def catalog_sql(text: str) -> sql.SQL:
    """SQL that the server itself deparsed from its catalog, for use in a statement with values."""
    return sql.SQL(text.replace("%", "%%"))


def _state(*, columns: Sequence[object], **others: object) -> IndexState:
    return IndexState(columns=_COLUMNS.validate_python(columns), **others)  # type: ignore[arg-type]
