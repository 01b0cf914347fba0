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

from ft_ops.maintenance.indexes.btree import (
    LONGEST_AS_IT_IS,
    PAGE,
    IndexColumn,
    built_bytes,
    bytes_per_row,
    pack_groups,
    pack_rows,
    tuple_bytes,
    tuples_bytes,
)
from ft_ops.maintenance.indexes.catalog import IndexState, catalog_sql
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

_WANTED_ROWS: Final = 3000
_MOST_ROWS: Final = 15_000
_FEWEST_PAGES: Final = 600
_MOST_PAGES: Final = 8000
# A key with more rows fills several pages with nothing but full posting lists.
_GROUP_CAP: Final = 1200
_FIRST_BATCH: Final = 100
_FEWEST_COUNTED: Final = 400
_MOST_ROWS_READ: Final = 150_000
_WANTED_ERROR: Final = 0.005


@dataclass(frozen=True, slots=True)
class Probe:
    """``bytes`` of the index if it were built now, and the standard error of that as a share.

    ``unsure_share`` of its bytes are values that the build may compress, or store as another type.
    """

    bytes: int
    relative_error: float
    unsure_share: float


@dataclass(frozen=True, slots=True)
class _Row:
    tid: str
    widths: tuple[int | None, ...]
    may_shrink: bool

    @property
    def starts_with_null(self) -> bool:
        return self.widths[0] is None


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One sampled row: the size of its tuple and of that tuple's key on an internal page.

    ``rows`` share its key, itself included; counted up to the cap.
    """

    size: int
    key_size: int
    rows: int
    starts_with_null: bool


def probe_btree(
    connection: Connection, index: IndexState, rows: float, chance: random.Random
) -> Probe | None:
    """Estimate a btree that holds ``rows`` rows; None when no row of it was found.

    Reads up to 8,000 pages of the table and descends the index up to 15,000 times: 15 to 300 ms
    on indexes of 250,000 rows. psycopg's errors pass through, the one of forced row level
    security among them.
    """
    sample = _sample(connection, index, rows)
    if not sample:
        return None
    chance.shuffle(sample)
    drawn = _drawn(connection, index, sample, chance)
    costs = [bytes_per_row(row.size, row.rows) for row in drawn]
    leaves_per_row = 0.0
    key_bytes_per_row = 0.0
    # An index is sorted, so its nulls fill pages of their own.
    for starts_with_null in (False, True):
        stratum = [row for row in drawn if row.starts_with_null is starts_with_null]
        if stratum:
            leaves = len(stratum) / len(drawn) / _rows_per_leaf(index, stratum, chance)
            leaves_per_row += leaves
            key_bytes_per_row += leaves * sum(row.key_size for row in stratum) / len(stratum)
    return Probe(
        bytes=built_bytes(rows, 1 / leaves_per_row, key_bytes_per_row / leaves_per_row),
        relative_error=_relative_error(costs),
        unsure_share=_unsure_share(index, sample),
    )


def _unsure_share(index: IndexState, sample: Sequence[_Row]) -> float:
    """How much of the tuples' bytes is in rows whose stored size can't be told from the table's."""
    if any(column.is_recast for column in index.columns):
        return 1.0
    sizes = tuples_bytes(index.columns, [row.widths for row in sample])
    unsure = [size for size, row in zip(sizes, sample, strict=True) if row.may_shrink]
    return sum(unsure) / sum(sizes)


def _rows_per_leaf(index: IndexState, drawn: Sequence[_Drawn], chance: random.Random) -> float:
    if index.deduplicates:
        groups = [(row.size, row.rows) for row in drawn]
        return pack_groups(groups, _GROUP_CAP, index.fillfactor, chance)
    return pack_rows([row.size for row in drawn], index.fillfactor, chance)


def _sample(connection: Connection, index: IndexState, rows: float) -> list[_Row]:
    sample = _sample_rows(connection, index, rows, _WANTED_ROWS)
    sizes = tuples_bytes(index.columns, [row.widths for row in sample])
    if len(sample) < rows and _relative_error(sizes) > _WANTED_ERROR:
        return _sample_rows(connection, index, rows, _MOST_ROWS)
    return sample


def _sample_rows(
    connection: Connection, index: IndexState, rows: float, wanted_rows: int
) -> list[_Row]:
    """About ``wanted_rows`` rows, from at least 600 pages: rows of one page resemble each other."""
    pages = max(1, index.table_bytes // PAGE)
    rows_per_page = max(rows, 1.0) / pages
    wanted_pages = min(max(wanted_rows / rows_per_page, _FEWEST_PAGES), _MOST_PAGES, pages)
    found = connection.execute(
        statement("maintenance/sample_rows").format(
            widths=sql.SQL(", ").join(_width(column) for column in index.columns),
            may_shrink=sql.SQL(" OR ").join(_may_shrink(column) for column in index.columns),
            table=index.table,
            predicate=_predicate(index),
        ),
        {
            "percent": 100 * wanted_pages / pages,
            "share": min(1.0, wanted_rows / (rows_per_page * wanted_pages)),
            "most": 4 * wanted_rows,
        },
    ).fetchall()
    return [_Row(tid, tuple(widths), may_shrink) for tid, widths, may_shrink in found]


def _width(column: IndexColumn) -> sql.Composable:
    expression = catalog_sql(column.expression)
    if column.is_c_string:
        return sql.SQL("octet_length({}::text) + 1").format(expression)
    return sql.SQL("pg_column_size({})").format(expression)


def _may_shrink(column: IndexColumn) -> sql.Composable:
    """Whether a row's value is long, and is not compressed yet."""
    if not column.may_shrink:
        return sql.SQL("false")
    return sql.SQL(
        "coalesce(pg_column_size({value}) > {longest}"
        " AND pg_column_compression({value}) IS NULL, false)"
    ).format(value=catalog_sql(column.expression), longest=sql.Literal(LONGEST_AS_IT_IS))


def _drawn(
    connection: Connection, index: IndexState, sample: Sequence[_Row], chance: random.Random
) -> list[_Drawn]:
    keys = [column for column in index.columns if column.is_key]
    sizes = tuples_bytes(index.columns, [row.widths for row in sample])
    key_sizes = tuples_bytes(keys, [row.widths[: len(keys)] for row in sample])
    groups = _groups(connection, index, sample, chance)
    return [
        _Drawn(size, key_size, rows, row.starts_with_null)
        for row, size, key_size, rows in zip(sample, sizes, key_sizes, groups, strict=True)
    ]


def _groups(
    connection: Connection, index: IndexState, sample: Sequence[_Row], chance: random.Random
) -> list[int]:
    """For each row of ``sample`` how many rows share its key, as far as that matters."""
    if not index.deduplicates:
        return [1] * len(sample)
    counted = _count_until_certain(connection, index, sample)
    # The other rows' widths count too: each of them borrows the group of a row of its stratum.
    groups: dict[bool, list[int]] = {
        starts_with_null: [
            counted[row.tid]
            for row in sample
            if row.tid in counted and row.starts_with_null is starts_with_null
        ]
        or [1]
        for starts_with_null in (False, True)
    }
    return [counted.get(row.tid) or chance.choice(groups[row.starts_with_null]) for row in sample]


def _count_until_certain(
    connection: Connection, index: IndexState, sample: Sequence[_Row]
) -> dict[str, int]:
    """How many rows share the key of each row of ``sample``, or of as many as it takes.

    It takes as many until what deduplication saves is known to half a percent.
    """
    counted: dict[str, int] = {}
    saved: list[float] = []
    rows_read, start, batch_rows = 0, 0, _FIRST_BATCH
    with connection.transaction():
        # With few rows left in a bloated table, the planner would rather read all of it each time.
        connection.execute("SET LOCAL enable_seqscan = off")
        connection.execute("SET LOCAL enable_bitmapscan = off")
        while start < len(sample) and rows_read < _MOST_ROWS_READ:
            batch = sample[start : start + batch_rows]
            counts, read = _count_same_keys(connection, index, batch)
            counted |= counts
            rows_read += read
            for row in batch:
                size = tuple_bytes(index.columns, row.widths)
                rows = counted.get(row.tid, 1)
                saved.append(bytes_per_row(size, rows) / bytes_per_row(size, 1))
            if len(saved) >= _FEWEST_COUNTED and _relative_error(saved) < _WANTED_ERROR:
                break
            start, batch_rows = start + batch_rows, batch_rows * 3
    return counted


def _count_same_keys(
    connection: Connection, index: IndexState, rows: Sequence[_Row]
) -> tuple[dict[str, int], int]:
    """How many rows share the key of each of ``rows``, and how many rows were read for that."""
    keys = [column for column in index.columns if column.is_key]
    names = [sql.Identifier(f"key_{number}") for number in range(len(keys))]
    by_nulls: dict[tuple[bool, ...], list[str]] = defaultdict(list)
    for row in rows:
        by_nulls[tuple(width is None for width in row.widths)].append(row.tid)
    counts: dict[str, int] = {}
    read = 0
    for nulls, tids in by_nulls.items():
        query = statement("maintenance/count_same_keys").format(
            key_names=sql.SQL(", ").join(names),
            keys=sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(catalog_sql(column.expression), name)
                for column, name in zip(keys, names, strict=True)
            ),
            table=index.table,
            predicate=_predicate(index),
            same_keys=sql.SQL(" AND ").join(
                _same_key(column, name, is_null)
                for column, name, is_null in zip(keys, names, nulls, strict=True)
            ),
        )
        for group, count in connection.execute(query, {"rows": tids, "cap": _GROUP_CAP}):
            counts |= dict.fromkeys(group, count)
            read += count
    return {tid: count for tid, count in counts.items() if count}, read


def _same_key(column: IndexColumn, name: sql.Identifier, is_null: bool) -> sql.Composable:
    expression = catalog_sql(column.expression)
    if is_null:
        return sql.SQL("{} IS NULL").format(expression)
    return sql.SQL("{} = sampled.{}").format(expression, name)


def _predicate(index: IndexState) -> sql.Composable:
    return sql.SQL("({})").format(catalog_sql(index.predicate or "true"))


def _relative_error(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 1.0
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values)) / mean
