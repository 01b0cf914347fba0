"""How large every table would be after it was written anew, estimated from samples of its rows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import kwargs_row
from pydantic import TypeAdapter

from ft_ops.maintenance.tables.heap import (
    PAGE,
    HeapColumn,
    StoredRow,
    heap_bytes,
    stored_row,
    toast_bytes,
)
from ft_ops.pg.beside_locks import Locked, beside_locks
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

_MOST_PAGES: Final = 2000
_WANTED_ROWS: Final = 10_000
_CERTAIN_ERROR: Final = 0.02
_SAME_ROWS: Final = 0.1
"""By how much the rows that a sample promises may differ from those that were counted, where chance
does not explain more."""
_TOO_SMALL: Final = 16 * PAGE


@dataclass(frozen=True, slots=True)
class TableFiles:
    """One table. ``heap_bytes`` and ``toast_bytes`` are those of the main files alone."""

    oid: int
    schema: str
    name: str
    heap_bytes: int
    toast_bytes: int
    index_bytes: int
    counted_rows: float
    fillfactor: int
    toast_target: int
    attributes: int
    columns: tuple[HeapColumn, ...]
    locked: str = ""

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def bytes(self) -> int:
        return self.heap_bytes + self.toast_bytes


@dataclass(frozen=True, slots=True)
class TableEstimate:
    """A table as it is, and the bytes that writing it anew would leave; None when unknown.

    ``problem`` says why nothing is known.
    """

    table: TableFiles
    estimated_bytes: int | None
    is_certain: bool = False
    problem: str = ""

    @property
    def reclaimable_bytes(self) -> int:
        if self.estimated_bytes is None:
            return 0
        return max(0, self.table.bytes - self.estimated_bytes)

    @property
    def reclaimable_share(self) -> float:
        return self.reclaimable_bytes / self.table.bytes if self.table.bytes else 0.0


_COLUMNS = TypeAdapter(tuple[HeapColumn, ...])


def estimate_tables(
    connection: Connection,
    *,
    chance: random.Random,
    log: Callable[[str], None] = lambda line: None,
) -> list[TableEstimate]:
    """An estimate for every table, the most reclaimable bytes first. Waits for none."""
    estimates = [_estimate(connection, table, chance) for table in table_states(connection)]
    log(f"estimated {len(estimates)} tables")
    return sorted(estimates, key=lambda e: (-e.reclaimable_bytes, e.table.qualified_name))


def table_states(connection: Connection) -> list[TableFiles]:
    """Every table of the database's own, partitions one by one, by schema and name."""

    def read(locked: Locked) -> list[TableFiles]:
        with connection.cursor(row_factory=kwargs_row(_state)) as cursor:
            found = cursor.execute(
                statement("maintenance/tables_to_estimate"), {"locked": locked.oids}
            ).fetchall()
        return [replace(table, locked=locked.by(table.oid)) for table in found]

    return beside_locks(connection, "states of tables", read)


def _estimate(connection: Connection, table: TableFiles, chance: random.Random) -> TableEstimate:
    if table.locked:
        return TableEstimate(table, None, problem=table.locked)
    if table.bytes <= _TOO_SMALL or not table.columns:
        return TableEstimate(table, table.bytes)
    pages = max(1, table.heap_bytes // PAGE)
    share_of_pages = min(1.0, _MOST_PAGES / pages)
    expected = max(1.0, table.counted_rows) * share_of_pages
    share_of_rows = min(1.0, _WANTED_ROWS / expected)
    try:
        widths = _widths(connection, table, 100 * share_of_pages, share_of_rows)
    except psycopg.Error as error:
        if connection.broken:
            raise
        problem = f"it can't be sampled: {str(error).splitlines()[0]}"
        return TableEstimate(table, None, problem=problem)
    seen = len(widths) / (share_of_pages * share_of_rows)
    is_whole = share_of_pages == share_of_rows == 1.0
    # The rows that were counted; what the sample promises where nobody counted.
    rows = seen if is_whole else table.counted_rows or seen
    stored = {
        row: stored_row(table.columns, row, attributes=table.attributes, target=table.toast_target)
        for row in set(widths)
    }
    sample = [stored[row] for row in widths]
    chance.shuffle(sample)
    new = heap_bytes(rows, sample, table.fillfactor) + toast_bytes(rows, sample)
    return TableEstimate(
        table, new, is_certain=is_whole or _is_certain(sample, rows, seen, share_of_pages * pages)
    )


def _is_certain(sample: Sequence[StoredRow], rows: float, seen: float, pages: float) -> bool:
    if not sample:
        return rows == 0
    sizes = [row.bytes + sum(row.beside) for row in sample]
    mean = sum(sizes) / len(sizes)
    variance = sum((size - mean) ** 2 for size in sizes) / max(1, len(sizes) - 1)
    error = math.sqrt(variance / len(sizes)) / mean
    return (
        error <= _CERTAIN_ERROR and abs(seen - rows) <= max(_SAME_ROWS, 3 / math.sqrt(pages)) * rows
    )


def _widths(
    connection: Connection, table: TableFiles, percent: float, share: float
) -> list[tuple[int | None, ...]]:
    query = statement("maintenance/sample_widths").format(
        widths=sql.SQL(", ").join(_width(column) for column in table.columns),
        table=_escaped(sql.Identifier(table.schema, table.name)),
    )
    rows = connection.execute(query, {"percent": percent, "share": share}).fetchall()
    return [tuple(widths) for (widths,) in rows]


def _width(column: HeapColumn) -> sql.Composable:
    return sql.SQL("pg_column_size({})").format(_escaped(sql.Identifier(column.name)))


def _escaped(name: sql.Identifier) -> sql.Composable:
    """A name for use in a statement with values: it may hold a percent sign."""
    return sql.SQL(name.as_string().replace("%", "%%"))


def _state(*, columns: Sequence[object], **others: object) -> TableFiles:
    return TableFiles(columns=_COLUMNS.validate_python(columns), **others)  # type: ignore[arg-type]
