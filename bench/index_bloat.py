"""The estimates of index bloat, against the truth.

46 shapes of indexes on one table (unique, deduplicated, partial, expression, descending, multi-
column, null-heavy, wide, long, with low fill factors, GIN, GiST, SP-GiST, BRIN, hash, …) under
seven kinds of churn; also hnsw, if the server has pgvector. (index_bloat_icu measures collations of
ICU.) Each estimate is made as the asset `index_bloat` makes it. It is compared with the size that a
real REINDEX then leaves, in points of the size before. Only errors of estimates that are marked as
certain count. For no kind of index may the estimate cause a useless rebuild.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from types import MappingProxyType
from typing import Final

from psycopg import sql

from bench.frame import BenchContext, Result, seconds
from ft_ops.maintenance import Estimate, RebuildRules, estimate_indexes
from ft_ops.maintenance.indexes.candidates import is_bloated
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.rows import one_row

ROWS: Final = 50_000
QUICK_ROWS: Final = 10_000
QUICK_CHURNS: Final = 1

_RULES: Final = RebuildRules(
    min_bytes=0, min_share=0.30, min_reclaimable_bytes=0, cooldown=timedelta()
)
# Estimates of 30.4 % for a true 29.6 % are no mistake; a rebuild that frees a fifth is.
_WORTHWHILE_SHARE: Final = 0.25

SHAPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unique_uuid": "UNIQUE INDEX {} ON corpus (id)",
        "unique_sequence": "UNIQUE INDEX {} ON corpus (seq)",
        "unique_text": "UNIQUE INDEX {} ON corpus (email)",
        "unique_pair": "UNIQUE INDEX {} ON corpus (account, seq)",
        "unique_partial": "UNIQUE INDEX {} ON corpus (seq) WHERE flag",
        "int_20_rows_a_key": "INDEX {} ON corpus (account)",
        "text_few_keys": "INDEX {} ON corpus (status)",
        "boolean": "INDEX {} ON corpus (flag)",
        "int_skewed": "INDEX {} ON corpus (skewed)",
        "uuid_8_rows_a_key": "INDEX {} ON corpus (owner)",
        "date_in_order": "INDEX {} ON corpus (day)",
        "time_in_order": "INDEX {} ON corpus (happened)",
        "time_descending": "INDEX {} ON corpus (happened DESC)",
        "nulls_last": "INDEX {} ON corpus (score DESC NULLS LAST)",
        "pair_descending": "INDEX {} ON corpus (account, happened DESC)",
        "pair_few_then_many": "INDEX {} ON corpus (status, account)",
        "three_columns": "INDEX {} ON corpus (status, flag, day)",
        "partial_rare": "INDEX {} ON corpus (happened) WHERE status = 'held'",
        "partial_duplicates": "INDEX {} ON corpus (account) WHERE status = 'open'",
        "partial_not_null": "INDEX {} ON corpus (tag) WHERE tag IS NOT NULL",
        "null_heavy": "INDEX {} ON corpus (tag)",
        "null_heavy_pair": "INDEX {} ON corpus (tag, score)",
        "expression_lower": "INDEX {} ON corpus (lower(email))",
        "expression_json": "INDEX {} ON corpus ((doc ->> 'kind'))",
        "expression_date": "INDEX {} ON corpus (((happened AT TIME ZONE 'UTC')::date))",
        "wide_text": "INDEX {} ON corpus (wide)",
        "medium_text": "INDEX {} ON corpus (title)",
        "text_pattern": "INDEX {} ON corpus (title text_pattern_ops)",
        "collated": 'INDEX {} ON corpus (tag COLLATE "C", account)',
        "numeric": "INDEX {} ON corpus (amount)",
        "float": "INDEX {} ON corpus (ratio)",
        "include": "INDEX {} ON corpus (account) INCLUDE (score, title)",
        "fillfactor_70": "INDEX {} ON corpus (account, day) WITH (fillfactor = 70)",
        "no_deduplication": "INDEX {} ON corpus (account) WITH (deduplicate_items = off)",
        "array": "INDEX {} ON corpus (labels)",
        "name": "INDEX {} ON corpus (nickname)",
        "long_text": "INDEX {} ON corpus (letter)",
        "long_compressible": "INDEX {} ON corpus (refrain)",
        "include_long": "UNIQUE INDEX {} ON corpus (seq) INCLUDE (letter)",
        "fillfactor_10": "INDEX {} ON corpus (seq) WITH (fillfactor = 10)",
        "gin_array": "INDEX {} ON corpus USING gin (labels)",
        "gin_document": "INDEX {} ON corpus USING gin (doc)",
        "gist_range": "INDEX {} ON corpus USING gist (span)",
        "spgist_text": "INDEX {} ON corpus USING spgist (title)",
        "brin_time": "INDEX {} ON corpus USING brin (happened)",
        "hash": "INDEX {} ON corpus USING hash (email)",
    }
)


# Where the server has pgvector. Of a tenth of the rows: each of them costs a search.
_HNSW: Final = "INDEX {} ON corpus USING hnsw (place vector_l2_ops) WHERE seq % 10 = 0"
_PLACE: Final = """
    ALTER TABLE corpus ADD place vector(3) DEFAULT ARRAY[random(), random(), random()]::vector
"""

_TABLE: Final = """
    CREATE UNLOGGED TABLE corpus (
        id uuid, seq bigint, account integer, status text, flag boolean, skewed integer,
        owner uuid, day date, happened timestamptz, score integer, tag varchar(40), email text,
        title text, wide text, amount numeric(12, 2), ratio float8, doc jsonb, labels text[],
        nickname name, letter text, refrain text, span tstzrange
    ) WITH (autovacuum_enabled = off)
"""
_FILL: Final = """
    INSERT INTO corpus
    SELECT
        gen_random_uuid(),
        g,
        (random() * %(rows)s / 20)::integer,
        CASE
            WHEN g %% 60 = 7 THEN 'held'
            ELSE (ARRAY['open', 'closed', 'closed', 'closed', 'waiting'])[1 + floor(random() * 5)]
        END,
        random() < 0.1,
        (power(random(), 6) * %(rows)s)::integer,
        ('00000000-0000-0000-0000-'
            || lpad(((random() * %(rows)s / 8)::integer)::text, 12, '0'))::uuid,
        date '2020-01-01' + (g * 1000.0 / %(rows)s)::integer,
        timestamptz '2020-01-01 00:00+00' + g * interval '37 seconds',
        CASE WHEN random() < 0.5 THEN (random() * 1000)::integer END,
        CASE WHEN random() < 0.06 THEN 'tag ' || (random() * 200)::integer END,
        'Person' || g || '@' || substr(md5(random()::text), 1, 1 + (random() * 20)::integer),
        substr(repeat(md5(random()::text), 4), 1, 10 + (random() * 100)::integer),
        CASE WHEN random() < 0.15 THEN substr(
            (SELECT string_agg(md5(g::text || s || random()), '') FROM generate_series(1, 25) s),
            1, 200 + (random() * 600)::integer
        ) END,
        (random() * 100000)::numeric(12, 2),
        random() * 10,
        jsonb_build_object('kind', (ARRAY['a', 'bb', 'a longer kind'])[1 + floor(random() * 3)]),
        ARRAY['x' || (random() * 50)::integer, 'y'],
        ('nick ' || (random() * 5000)::integer)::name,
        substr(
            (SELECT string_agg(md5(g::text || s || random()), '') FROM generate_series(1, 40) s),
            1, 400 + (random() * 800)::integer
        ),
        repeat('tales of grandmother ', 20 + (random() * 60)::integer) || g,
        tstzrange(
            timestamptz '2020-01-01 00:00+00' + g * interval '37 seconds',
            timestamptz '2020-01-02 00:00+00' + g * interval '37 seconds'
        )
    FROM generate_series(1, %(rows)s) AS g
    ORDER BY CASE WHEN %(shuffled)s THEN random() ELSE g END
"""
_UPDATE: Final = """
    UPDATE corpus
    SET account = account + 1, score = score + 1, happened = happened + interval '1 day',
        day = day + 1, title = title || 'x', amount = amount + 1, ratio = ratio + 1
    WHERE random() < 0.5
"""


@dataclass(frozen=True, slots=True)
class Churn:
    """What happens to the table: rows inserted in random order under the indexes, or statements."""

    name: str
    shuffled: bool = False
    statements: Sequence[str] = ()


CHURNS: Final[Mapping[str, Churn]] = MappingProxyType(
    {
        churn.name: churn
        for churn in (
            Churn("fresh"),
            Churn("inserts in random order", shuffled=True, statements=["VACUUM ANALYZE corpus"]),
            Churn(
                "random deletes",
                statements=[
                    "DELETE FROM corpus WHERE random() < 0.6",
                    "VACUUM ANALYZE corpus",
                ],
            ),
            Churn(
                "old rows deleted",
                statements=[
                    "DELETE FROM corpus WHERE seq < (SELECT max(seq) * 0.7 FROM corpus)",
                    "VACUUM ANALYZE corpus",
                ],
            ),
            Churn(
                "updates",
                statements=[_UPDATE, "VACUUM corpus", _UPDATE, "VACUUM ANALYZE corpus"],
            ),
            Churn(
                "never vacuumed",
                statements=["DELETE FROM corpus WHERE random() < 0.4", "ANALYZE corpus"],
            ),
            Churn("stale statistics", statements=["DELETE FROM corpus WHERE random() < 0.4"]),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Observation:
    """One index under one churn: its bytes before, as estimated, and after a REINDEX.

    ``is_ordered`` when it would be rebuilt on a schedule, had it the size for it.
    """

    churn: str
    shape: str
    bytes_before: int
    bytes_estimated: int
    bytes_after: int
    is_certain: bool
    is_ordered: bool

    @property
    def error_points(self) -> float:
        """How far the estimated reclaimable share is from the true one, in points."""
        return 100 * abs(self.bytes_estimated - self.bytes_after) / self.bytes_before

    @property
    def is_needless(self) -> bool:
        """Whether a rebuild would have been ordered that frees too little to be worth it."""
        return self.is_ordered and 1 - self.bytes_after / self.bytes_before < _WORTHWHILE_SHARE


def run(context: BenchContext) -> Iterator[Result]:
    rows = QUICK_ROWS if context.is_quick else ROWS
    chance = random.Random(20_26)
    observations: list[Observation] = []
    with context.empty_database() as url, connect(url, application="bench") as connection:
        _with_pgvector(context, connection)
        for churn in islice(CHURNS.values(), QUICK_CHURNS if context.is_quick else None):
            seen = observe(connection, churn, rows=rows, chance=chance)
            observations += seen
            worst = max(seen, key=lambda o: o.error_points)
            middle = statistics.median(o.error_points for o in seen)
            context.log(
                f"{churn.name}: median {middle:.2f} points, at most {worst.error_points:.2f}"
                f" ({worst.shape})"
            )
        took = seconds(lambda: _estimates(connection, chance))
    number = len({observation.shape for observation in observations})
    size = f"{rows:,} rows, {number} shapes of indexes, {len(CHURNS)} kinds of churn"
    yield from results("index_bloat", "index bloat estimate", observations, size)
    yield _result(
        "index_bloat_ms",
        "index bloat estimate: time of one",
        took * 1000 / number,
        unit="ms",
        size=size,
        n=number,
    )


def _with_pgvector(context: BenchContext, connection: Connection) -> None:
    """Make the extension where the server offers it, as an administrator does."""
    offered = connection.execute(
        "SELECT FROM pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if offered is not None:
        admin_url = context.sandbox.server.url(connection.info.dbname)
        with connect(admin_url, application="bench") as admin:
            admin.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")


def observe(
    connection: Connection,
    churn: Churn,
    *,
    rows: int,
    chance: random.Random,
    shapes: Mapping[str, str] = SHAPES,
) -> list[Observation]:
    """Make the corpus, let ``churn`` happen, estimate every index, then rebuild it."""
    _make(connection, shapes, rows, shuffled=churn.shuffled)
    for text in churn.statements:
        connection.execute(text)
        connection.execute("SELECT pg_stat_force_next_flush()")
    return [
        Observation(
            churn.name,
            estimate.index.name,
            estimate.index.bytes,
            estimate.estimated_bytes or 0,
            _rebuilt_bytes(connection, estimate),
            estimate.is_certain,
            is_bloated(estimate, _RULES),
        )
        for estimate in _estimates(connection, chance)
    ]


def results(
    name: str, work: str, observations: Sequence[Observation], size: str
) -> Iterator[Result]:
    """What a corpus says of the estimates: their errors, and the rebuilds ordered in vain."""
    certain = [observation for observation in observations if observation.is_certain]
    points = sorted(observation.error_points for observation in certain)
    ordered = sum(observation.is_ordered for observation in observations)
    needless = sum(observation.is_needless for observation in observations)
    worst = max(certain, key=lambda o: o.error_points)
    unsure = f"{len(observations) - len(certain)} of {len(observations)} are marked unsure"
    where = f"{worst.shape}, {worst.churn}"
    figures: Sequence[tuple[str, str, str, float, float | None, str]] = (
        ("median", "median error", "points", statistics.median(points), 1.0, unsure),
        ("p90", "90th percentile", "points", points[int(len(points) * 0.9)], 4.0, ""),
        ("worst", "worst error", "points", points[-1], None, where),
        (
            "needless",
            "rebuilds ordered for less than 25 %",
            "",
            needless,
            0.0,
            f"{ordered} rebuilds ordered",
        ),
    )
    for suffix, what, unit, value, goal, note in figures:
        yield _result(
            f"{name}_{suffix}",
            f"{work}: {what}",
            value,
            unit=unit,
            size=size,
            n=len(observations),
            goal=goal,
            note=note,
        )


def _result(
    name: str,
    work: str,
    value: float,
    *,
    unit: str,
    size: str,
    n: int,
    goal: float | None = None,
    note: str = "",
) -> Result:
    return Result(
        name=name,
        work=work,
        against="",
        unit=unit,
        ours=value,
        goal=goal,
        n=n,
        spread=0.0,
        size=size,
        note=note,
    )


def _make(connection: Connection, shapes: Mapping[str, str], rows: int, *, shuffled: bool) -> None:
    connection.execute("DROP TABLE IF EXISTS corpus")
    connection.execute(_TABLE)
    shapes = dict(shapes)
    if connection.execute("SELECT to_regtype('vector') IS NOT NULL").fetchone() == (True,):
        connection.execute(_PLACE)
        shapes["hnsw"] = _HNSW
    fill = {"rows": rows, "shuffled": shuffled}
    if not shuffled:
        connection.execute(_FILL, fill)
    for name, shape in shapes.items():
        connection.execute(sql.SQL(f"CREATE {shape}").format(sql.Identifier(name)))
    if shuffled:
        connection.execute(_FILL, fill)
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute("VACUUM ANALYZE corpus")


def _estimates(connection: Connection, chance: random.Random) -> list[Estimate]:
    found = estimate_indexes(connection, chance=chance, store=False)
    return [estimate for estimate in found if estimate.index.table_name == "corpus"]


def _rebuilt_bytes(connection: Connection, estimate: Estimate) -> int:
    connection.execute(sql.SQL("REINDEX INDEX {}").format(estimate.index.identifier))
    row = one_row(
        connection.execute("SELECT pg_relation_size(%s::regclass)", (estimate.index.name,))
    )
    return int(row[0])
