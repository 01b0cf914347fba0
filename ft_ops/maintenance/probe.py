"""Estimates, without any extension, how large a btree would be after a rebuild.

Rows drawn at random from the table give the width of its tuples; for an index that deduplicates,
a descent for each of them counts the rows that share its key. `btree` turns both into pages.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from ft_ops.maintenance.btree import (
    PAGE,
    IndexColumn,
    built_bytes,
    group_items,
    pack_groups,
    pack_rows,
    tuple_bytes,
)
from ft_ops.maintenance.indexes import IndexState, catalog_sql
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

_ROWS: Final = 3000
_FEWEST_PAGES: Final = 600
_MOST_PAGES: Final = 8000
_GROUP_CAP: Final = 300
_GROUP_BATCH: Final = 100
_WANTED_ERROR: Final = 0.005


@dataclass(frozen=True, slots=True)
class SampledRow:
    row: str
    widths: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """``bytes`` after a rebuild, from ``sampled`` rows."""

    bytes: int
    sampled: int


def probe_btree(connection: Connection, index: IndexState, chance: random.Random) -> Probe | None:
    rows = _sample(connection, index)
    if not rows:
        return None
    sizes = [tuple_bytes(index.columns, row.widths) for row in rows]
    if index.deduplicates:
        chance.shuffle(rows)
        groups = _groups(connection, index, rows)
        leaf_rows = pack_groups(groups, _GROUP_CAP, index.fillfactor, chance)
    else:
        leaf_rows = pack_rows(sizes, index.fillfactor, chance)
    return Probe(built_bytes(index.tuples, leaf_rows, sum(sizes) / len(sizes)), len(rows))


def _sample(connection: Connection, index: IndexState) -> list[SampledRow]:
    pages = max(1, index.table_bytes // PAGE)
    rows_per_page = max(index.tuples, 1.0) / pages
    wanted_pages = min(max(_ROWS / rows_per_page, _FEWEST_PAGES), _MOST_PAGES)
    percent = min(100.0, 100 * wanted_pages / pages)
    share = min(1.0, _ROWS / (rows_per_page * pages * percent / 100))
    found = connection.execute(
        statement("maintenance/sample_rows").format(
            widths=sql.SQL(", ").join(
                sql.SQL("pg_column_size({})").format(catalog_sql(column.expression))
                for column in index.columns
            ),
            table=index.table,
            predicate=_predicate(index),
        ),
        {"percent": percent, "share": share},
    ).fetchall()
    return [SampledRow(row, tuple(widths)) for row, widths in found]


def _groups(
    connection: Connection, index: IndexState, rows: Sequence[SampledRow]
) -> list[tuple[int, int]]:
    groups: list[tuple[int, int]] = []
    costs: list[float] = []
    with connection.transaction():
        connection.execute("SET LOCAL enable_seqscan = off")
        connection.execute("SET LOCAL enable_bitmapscan = off")
        for start in range(0, len(rows), _GROUP_BATCH):
            batch = rows[start : start + _GROUP_BATCH]
            counts = _count_same_keys(connection, index, batch)
            for row in batch:
                if not counts.get(row.row):
                    continue
                size = tuple_bytes(index.columns, row.widths)
                count = counts[row.row]
                groups.append((size, count))
                items = group_items(size, count)
                costs.append(sum(i.bytes + 4 for i in items) / count)
            if len(costs) > 1 and _relative_error(costs) <= _WANTED_ERROR:
                break
    return groups


def _count_same_keys(
    connection: Connection, index: IndexState, rows: Sequence[SampledRow]
) -> dict[str, int]:
    keys = [column for column in index.columns if column.is_key]
    by_nulls: dict[tuple[bool, ...], list[str]] = defaultdict(list)
    for row in rows:
        by_nulls[tuple(width is None for width in row.widths[: len(keys)])].append(row.row)
    counts: dict[str, int] = {}
    for nulls, chosen in by_nulls.items():
        counts |= dict(
            connection.execute(
                statement("maintenance/count_same_keys").format(
                    keys=sql.SQL(", ").join(
                        sql.SQL("{} AS {}").format(
                            catalog_sql(column.expression), sql.Identifier(f"key_{number}")
                        )
                        for number, column in enumerate(keys)
                    ),
                    table=index.table,
                    predicate=_predicate(index),
                    same_keys=sql.SQL(" AND ").join(
                        _same_key(number, column, is_null)
                        for number, (column, is_null) in enumerate(zip(keys, nulls, strict=True))
                    ),
                ),
                {"rows": chosen, "cap": _GROUP_CAP},
            ).fetchall()
        )
    return counts


def _same_key(number: int, column: IndexColumn, is_null: bool) -> sql.Composable:
    expression = catalog_sql(column.expression)
    if is_null:
        return sql.SQL("{} IS NULL").format(expression)
    return sql.SQL("{} = {}").format(expression, sql.Identifier("sampled", f"key_{number}"))


def _predicate(index: IndexState) -> sql.Composable:
    return sql.SQL("({})").format(catalog_sql(index.predicate or "true"))


def _relative_error(costs: Sequence[float]) -> float:
    mean = sum(costs) / len(costs)
    variance = sum((cost - mean) ** 2 for cost in costs) / (len(costs) - 1)
    return math.sqrt(variance / len(costs)) / mean
