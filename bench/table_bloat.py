"""The estimates of table bloat, against the truth.

27 shapes of tables (narrow, wide, null-heavy, stored beside the row, compressed, with a fill
factor, with dropped and added columns, …) under five kinds of churn. Each estimate is made as the
asset `table_bloat` makes it. It is compared with the size that a real VACUUM FULL then leaves, in
points of the size before.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Final, LiteralString

from psycopg import sql

from bench.frame import BenchContext, Result
from ft_ops.maintenance import TableEstimate, estimate_tables
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.rows import one_row

ROWS: Final = 20_000
QUICK_ROWS: Final = 4_000
QUICK_CHURNS: Final = 1
GOOD_MEDIAN: Final = 2.0
GOOD_P90: Final = 6.0


def _hex(count: LiteralString) -> LiteralString:
    """SQL of text that doesn't compress, of 32 characters so many times."""
    digits: LiteralString = "(SELECT string_agg(md5(g::text || s || random()), '')"
    return digits + " FROM generate_series(1, " + count + ") AS s)"


SHAPES: Final[Mapping[str, tuple[LiteralString, LiteralString]]] = MappingProxyType(
    {
        "narrow": ("a integer, b integer", "g, g"),
        "bigints": ("a bigint, b smallint, c bigint, d boolean", "g, 1, g, true"),
        "uuids": ("a uuid, b uuid, at timestamptz", "gen_random_uuid(), gen_random_uuid(), now()"),
        "short_text": ("a text", "'row ' || g"),
        "text_to_120": ("a integer, b text", "g, repeat('x', (random() * 120)::integer)"),
        "text_120_to_140": ("a text, b integer", "repeat('x', 120 + (random() * 20)::integer), g"),
        "medium_text": (
            "a integer, b text",
            "g, " + _hex("5 + (random() * 20)::integer"),
        ),
        "four_a_page": (
            "a integer, b text",
            "g, " + _hex("55 + (random() * 5)::integer"),
        ),
        "beside_the_row": (
            "a integer, b text",
            "g, " + _hex("100 + (random() * 300)::integer"),
        ),
        "sometimes_beside": (
            "a integer, b text, c text",
            "g, " + _hex("10 + (power(random(), 4) * 300)::integer") + ", 'c' || g",
        ),
        "two_long": (
            "a text, b text",
            _hex("(random() * 60)::integer") + ", " + _hex("(random() * 60)::integer"),
        ),
        "compressed": ("a integer, b text", "g, repeat('family tales ' || g, 300)"),
        "compressed_beside": (
            "a integer, b text",
            "g, (SELECT string_agg(repeat(md5(s || 'x'), 3), '') FROM generate_series(1, 99) s)",
        ),
        "document": (
            "a integer, b jsonb",
            "g, jsonb_build_object('kind', g %% 7, 'title', md5(g::text), 'labels', ARRAY[1, g])",
        ),
        "mostly_null": (
            "a integer, b text, c date, d integer, e text, f numeric",
            "g, nullif('b' || g %% 9, 'b1'), NULL, NULL, nullif('e' || g %% 3, 'e1'), NULL",
        ),
        "numerics": ("a numeric, b numeric(12, 2)", "random() * 1e9, (random() * 1e5)::numeric"),
        "arrays": ("a uuid[], b text[]", "ARRAY[gen_random_uuid(), gen_random_uuid()], ARRAY['x']"),
        "bytes": (
            "a bytea",
            "decode(repeat(md5(g::text), (random() * 20)::integer), 'hex')",
        ),
        "external": (
            "a integer, b text STORAGE external",
            "g, repeat('plain words ', 100 + (random() * 400)::integer)",
        ),
        "main": ("a integer, b text STORAGE main", "g, repeat(md5(random()::text), 40)"),
        "mixed_alignment": (
            "a boolean, b bigint, c boolean, d double precision, e char(3), f integer",
            "true, g, false, random(), 'abc', g",
        ),
        "names": ("a name, b integer", "('n' || g)::name, g"),
        "in_order_of_length": ("a integer, b text", "g, repeat('x', g / 100)"),
        "fillfactor": ("a integer, b text", "g, md5(g::text)"),
        "target": (
            "a integer, b text",
            "g, " + _hex("(random() * 90)::integer"),
        ),
        "dropped_column": ("a integer, gone text, b integer", "g, md5(g::text), g"),
        "added_column": ("a integer", "g"),
    }
)
_AFTER: Final[Mapping[str, LiteralString]] = MappingProxyType(
    {
        "dropped_column": "ALTER TABLE {} DROP COLUMN gone",
        "added_column": "ALTER TABLE {} ADD COLUMN b text NOT NULL DEFAULT 'what all have now'",
    }
)
_OPTIONS: Final[Mapping[str, LiteralString]] = MappingProxyType(
    {"fillfactor": ", fillfactor = 70", "target": ", toast_tuple_target = 256"}
)
_CHURNS: Final[Mapping[str, Sequence[LiteralString]]] = MappingProxyType(
    {
        "deleted at random": ("DELETE FROM {} WHERE random() < 0.6", "VACUUM ANALYZE {}"),
        "fresh": ("VACUUM ANALYZE {}",),
        "updated twice": (
            "CREATE TEMPORARY TABLE kept AS SELECT * FROM {}",
            "DELETE FROM {}",
            "INSERT INTO {} SELECT * FROM kept",
            "DELETE FROM {} WHERE random() < 0.1",
            "DROP TABLE kept",
            "VACUUM ANALYZE {}",
        ),
        "the first rows deleted": (
            "DELETE FROM {} WHERE ctid IN (SELECT ctid FROM {} ORDER BY ctid LIMIT 700)",
            "VACUUM ANALYZE {}",
        ),
        "not vacuumed": ("ANALYZE {}", "DELETE FROM {} WHERE random() < 0.5", "ANALYZE {}"),
    }
)


@dataclass(frozen=True, slots=True)
class Observation:
    """One estimate and the truth, in points of the size before."""

    shape: str
    churn: str
    estimate: TableEstimate
    true_bytes: int

    @property
    def points(self) -> float:
        estimated = self.estimate.estimated_bytes or 0
        return 100 * abs(estimated - self.true_bytes) / self.estimate.table.bytes


def observe(
    connection: Connection, *, rows: int, churns: int, chance: random.Random
) -> Iterator[Observation]:
    """Make each table, churn it, estimate it, and write it anew."""
    for churn, steps in islice(_CHURNS.items(), churns):
        connection.execute("DROP SCHEMA IF EXISTS bloat CASCADE")
        connection.execute("CREATE SCHEMA bloat")
        for shape in SHAPES:
            _make(connection, shape, rows)
            for step in steps:
                connection.execute(_on(shape, step))
        estimates = {
            e.table.name: e
            for e in estimate_tables(connection, chance=chance)
            if e.table.schema == "bloat"
        }
        for shape in SHAPES:
            connection.execute(_on(shape, "VACUUM FULL {}"))
            yield Observation(shape, churn, estimates[shape], _size(connection, shape))


def run(context: BenchContext) -> Iterator[Result]:
    rows = QUICK_ROWS if context.is_quick else ROWS
    churns = QUICK_CHURNS if context.is_quick else len(_CHURNS)
    with context.empty_database() as url, connect(url, application="bench") as connection:
        seen = list(observe(connection, rows=rows, churns=churns, chance=random.Random(1)))
    points = sorted(each.points for each in seen if each.estimate.is_certain)
    worst = max(seen, key=lambda each: each.points)
    figures = (
        ("median", statistics.median(points), GOOD_MEDIAN),
        ("p90", points[int(0.9 * len(points))], GOOD_P90),
    )
    for name, value, goal in figures:
        yield Result(
            name=f"table_bloat_{name}",
            work=f"estimate of table bloat: {name} of the error, of what is certain",
            against="size after a rewrite",
            unit="points",
            ours=value,
            goal=goal,
            n=len(points),
            spread=0.0,
            size=f"{len(SHAPES)} tables of {rows:,} rows, {churns} kinds of churn",
            note=f"{len(seen) - len(points)} of {len(seen)} unsure; the worst: {worst.shape}, "
            f"{worst.churn}, {worst.points:.1f}",
        )


def _make(connection: Connection, shape: str, rows: int) -> None:
    columns, values = SHAPES[shape]
    connection.execute(
        _on(
            shape,
            "CREATE UNLOGGED TABLE {} ("
            + columns
            + ") WITH (autovacuum_enabled = off"
            + _OPTIONS.get(shape, "")
            + ")",
        )
    )
    filled: LiteralString = "INSERT INTO {} SELECT " + values
    connection.execute(_on(shape, filled + " FROM generate_series(1, %s) AS g"), (rows,))
    if after := _AFTER.get(shape):
        connection.execute(_on(shape, after))


def _on(shape: str, text: LiteralString) -> sql.Composed:
    name = sql.Identifier("bloat", shape)
    return sql.SQL(text).format(*[name] * text.count("{}"))


def _size(connection: Connection, shape: str) -> int:
    row = one_row(
        connection.execute(
            "SELECT pg_relation_size(oid) + coalesce(pg_relation_size(reltoastrelid), 0)"
            " FROM pg_class WHERE oid = %s::regclass",
            (f"bloat.{shape}",),
        )
    )
    return int(row[0])
