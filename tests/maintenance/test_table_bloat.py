"""Estimates of tables are held against what a real rewrite leaves."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import psycopg
import pytest

from bench.table_bloat import GOOD_MEDIAN, GOOD_P90, SHAPES, observe
from ft_ops.maintenance import TableEstimate, estimate_tables
from ft_ops.maintenance.rewrite.advice import Means, is_worth_it, means_of, repack_advice
from ft_ops.maintenance.tables import table_bloat
from ft_ops.maintenance.tables.heap import HeapColumn, stored_row
from ft_ops.maintenance.tables.table_bloat import TableFiles
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database

INTEGER = HeapColumn("a", 4, 4, "p")
TEXT = HeapColumn("b", -1, 4, "x")


def estimate(connection: Connection, name: str) -> TableEstimate:
    [found] = [
        e for e in estimate_tables(connection, chance=random.Random(1)) if e.table.name == name
    ]
    return found


def test_estimates_come_near_the_size_after_a_rewrite(database: Database) -> None:
    with connect(database.admin_url, application="tests") as connection:
        seen = list(observe(connection, rows=3000, churns=1, chance=random.Random(1)))
    assert len(seen) == len(SHAPES) >= 20
    points = sorted(each.points for each in seen if each.estimate.is_certain)
    assert len(points) >= 20
    assert statistics.median(points) <= GOOD_MEDIAN
    assert points[int(0.9 * len(points))] <= GOOD_P90


def test_a_sample_of_the_pages_does_as_well(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_bloat, "_MOST_PAGES", 60)
    connection.execute(
        "CREATE TABLE letters AS SELECT g, repeat('x', g % 97) FROM generate_series(1, 60000) g"
    )
    connection.execute("DELETE FROM letters WHERE g % 3 <> 0")
    connection.execute("VACUUM ANALYZE letters")
    found = estimate(connection, "letters")
    connection.execute("VACUUM FULL letters")
    row = connection.execute("SELECT pg_relation_size('letters')").fetchone()
    assert row is not None
    assert found.estimated_bytes == pytest.approx(row[0], rel=0.03)
    assert found.reclaimable_share == pytest.approx(2 / 3, abs=0.05)


def test_rows_that_the_statistics_do_not_know_make_it_unsure(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_bloat, "_MOST_PAGES", 60)
    # The server's own autovacuum would tell the statistics in between.
    connection.execute(
        "CREATE TABLE letters WITH (autovacuum_enabled = off)"
        " AS SELECT g FROM generate_series(1, 60000) g"
    )
    connection.execute("ANALYZE letters")
    # So many that no draw of 60 pages can look like all of them: with half of them, one in 25 did.
    connection.execute("DELETE FROM letters WHERE g % 4 <> 0")
    assert not estimate(connection, "letters").is_certain
    connection.execute("ANALYZE letters")
    assert estimate(connection, "letters").is_certain


def test_rows_of_an_heir_are_not_the_tables(connection: Connection) -> None:
    connection.execute("CREATE TABLE letters AS SELECT g FROM generate_series(1, 9999) AS g")
    connection.execute("CREATE TABLE heir () INHERITS (letters)")
    connection.execute("INSERT INTO heir SELECT g FROM generate_series(1, 9999) AS g")
    found = estimate(connection, "letters")
    assert found.is_certain
    connection.execute("VACUUM FULL letters")
    assert found.estimated_bytes == estimate(connection, "letters").table.bytes


@pytest.mark.parametrize("name", ["a table", 'with "quotes"', "100%s", "50%"])
def test_a_name_is_only_a_name(connection: Connection, name: str) -> None:
    quoted = psycopg.sql.Identifier(name)
    connection.execute(
        psycopg.sql.SQL("CREATE TABLE {} AS SELECT g AS {} FROM generate_series(1, 9999) g").format(
            quoted, quoted
        )
    )
    assert estimate(connection, name).estimated_bytes is not None


def test_a_locked_table_is_named_and_the_others_are_estimated(
    connection: Connection, database: Database
) -> None:
    connection.execute("CREATE TABLE held AS SELECT g FROM generate_series(1, 9999) g")
    connection.execute("CREATE TABLE free AS SELECT g FROM generate_series(1, 9999) g")
    with psycopg.connect(database.url) as other:
        other.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        held, free = estimate(connection, "held"), estimate(connection, "free")
    assert "is locked by" in held.problem
    assert held.estimated_bytes is None
    assert free.is_certain


@pytest.mark.parametrize(
    ("widths", "size", "beside"),
    [
        ([4, None], 32, ()),
        ([4, 10], 40, ()),
        ([4, 127], 160, ()),
        ([4, 128], 160, ()),
        ([4, 2000], 2032, ()),
        ([4, 2005], 48, (2005,)),
    ],
)
def test_a_row_is_stored_as_the_server_stores_it(
    widths: list[int | None], size: int, beside: tuple[int, ...]
) -> None:
    found = stored_row([INTEGER, TEXT], widths, attributes=2)
    assert (found.bytes, found.beside) == (size, beside)


def state(size: int) -> TableFiles:
    return TableFiles(1, "public", "letters", size, 0, 10**8, 1.0, 100, 2032, 2, (INTEGER, TEXT))


@pytest.mark.parametrize(
    ("size", "anew", "worth"),
    [
        (10**9, 7 * 10**8, True),
        (10**9, 7 * 10**8 + 1, False),
        (2 * 10**8, 10**8, True),
        (2 * 10**8, 10**8 + 1, False),
    ],
)
def test_a_table_is_worth_it_from_30_percent_and_100_megabytes_on(
    size: int, anew: int, worth: bool
) -> None:
    found = TableEstimate(state(size), anew, is_certain=True)
    assert is_worth_it(found) == worth
    assert not is_worth_it(replace(found, is_certain=False))


@pytest.mark.parametrize(
    ("means", "command"),
    [
        (Means(190_000, None, 1e7), 'by REPACK (CONCURRENTLY) "public"."letters";'),
        (Means(160_004, "1.5.3", 1e7), 'which runs pg_repack --table=\'"public"."letters"\';'),
        (Means(160_004, None, 1e7), "does not have: VACUUM FULL would shut everybody out"),
    ],
)
def test_the_advice_says_how_and_what_it_takes(means: Means, command: str) -> None:
    [advice] = repack_advice([TableEstimate(state(10**9), 4 * 10**8, is_certain=True)], means)
    assert command in advice.words
    assert "600 MB of 1.0 GB (60%) would be free" in advice.words
    assert "it needs 500 MB of disk meanwhile, and some " in advice.words
    # Our own job reads it twice more, to compare its rows.
    assert advice.seconds == (350 if means.pg_repack else 150)


def test_this_server_tells_what_it_has(connection: Connection) -> None:
    found = means_of(connection)
    assert found.version == connection.info.server_version
    assert found.pg_repack is None
    assert found.bytes_per_second > 0
