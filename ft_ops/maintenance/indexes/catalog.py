"""What the catalog says of the indexes of the database's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import kwargs_row
from pydantic import TypeAdapter

from ft_ops.maintenance.indexes.btree import IndexColumn
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class IndexState:
    """One index. ``tuples`` and ``table_tuples`` are -1 as long as nobody has counted them."""

    oid: int
    schema: str
    table_name: str
    name: str
    table_oid: int
    method: str
    parent_oid: int
    is_partitioned: bool
    file_node: int
    bytes: int
    tuples: float
    table_bytes: int
    table_tuples: float
    live_rows: int
    is_unique: bool
    is_exclusion: bool
    is_valid: bool
    is_constraint: bool
    is_temporary: bool
    fillfactor: int
    deduplicates: bool
    predicate: str | None
    columns: tuple[IndexColumn, ...]
    definition: str
    owner: str
    may_maintain: bool

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
    def table(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table_name)


_COLUMNS = TypeAdapter(tuple[IndexColumn, ...])


def index_states(connection: Connection) -> list[IndexState]:
    """Every index, partitioned parents included, by schema, table and name."""
    with connection.cursor(row_factory=kwargs_row(_state)) as cursor:
        return cursor.execute(statement("maintenance/index_states"), {}).fetchall()


def catalog_sql(text: str) -> sql.SQL:
    """SQL that the server itself deparsed from its catalog, for use in a statement with values."""
    return sql.SQL(text.replace("%", "%%"))


def _state(*, columns: Sequence[object], **others: object) -> IndexState:
    return IndexState(columns=_COLUMNS.validate_python(columns), **others)  # type: ignore[arg-type]
