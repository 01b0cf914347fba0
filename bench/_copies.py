"""Larger months, made of copies of a sample month under other ids."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

from psycopg import sql

from bench.frame.fill import SESSIONS, unchecked, unnoted
from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.connect import Connection, connect

_SELECTIONS: Mapping[str, LiteralString] = {
    "content_segments": "SELECT {values} FROM {source} AS c",
    "content_segment_keys": (
        "SELECT {values} FROM content_segment_keys AS c JOIN {source} AS s ON s.id = c.id"
    ),
    "photo_narrations": (
        "SELECT {values} FROM photo_narrations AS c"
        " JOIN {source} AS s ON s.id = c.content_segment_id"
    ),
    "content_tags": (
        "SELECT {values} FROM content_tags AS c JOIN {source} AS s ON s.id = c.content_segment_id"
    ),
    "content_links": (
        "SELECT {values} FROM content_links AS c"
        " JOIN {source} AS s ON s.id = c.source_segment_id"
        " JOIN {source} AS t ON t.id = c.target_segment_id"
    ),
}
_IDS = ("id", "content_segment_id", "source_segment_id", "target_segment_id")


def copy_month(url: str, original: Month, rows: int, month: Month, numbers: range) -> None:
    """Fill ``month`` with a copy, for each number, of the first ``rows`` of ``original`` by id.

    Their children are copied with them. A number must serve once in a database: ids and sequence
    numbers follow from it. Keys are copied like everything else. Links that lead out of these rows
    are left out. Both months must
    have equally many days.
    """
    source = sql.SQL("(SELECT * FROM {} ORDER BY id LIMIT {})").format(
        sql.Identifier(f"content_segments_{original.suffix}"), sql.Literal(rows)
    )
    with connect(url, application="bench") as connection:
        ensure_months(connection, "content_segments", [month])
        columns = {table: _columns(connection, table) for table in _SELECTIONS}

    def copy(number: int) -> None:
        with unchecked(url) as admin:
            for table, selection in _SELECTIONS.items():
                names = columns[table]
                values = [_value(table, name, original, month, number) for name in names]
                insert = sql.SQL("INSERT INTO {table} ({names}) ").format(
                    table=sql.Identifier(table),
                    names=sql.SQL(", ").join(map(sql.Identifier, names)),
                )
                select = sql.SQL(selection).format(values=sql.SQL(", ").join(values), source=source)
                admin.execute(insert + select)

    with unnoted(url), ThreadPoolExecutor(SESSIONS) as pool:
        for _ in pool.map(copy, numbers):
            pass
    with connect(url, application="bench") as connection:
        tables = [f"content_segments_{month.suffix}", *(_SELECTIONS.keys() - {"content_segments"})]
        connection.execute(
            sql.SQL("VACUUM ANALYZE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables)))
        )


def _columns(connection: Connection, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        [table],
    )
    return [name for (name,) in rows]


def _value(table: str, name: str, original: Month, month: Month, number: int) -> sql.Composable:
    column = sql.Identifier("c", name)
    if name in _IDS:
        return sql.SQL("md5({}::text || {})::uuid").format(column, sql.Literal(f"copy {number}"))
    if name == "sequence_number":
        return sql.SQL("{} + {}").format(column, sql.Literal((number + 1) * 1_000_000))
    if name == "created_at" and table in {"content_segments", "content_segment_keys"}:
        return sql.SQL("{} + {}").format(column, sql.Literal(month.start - original.start))
    return column
