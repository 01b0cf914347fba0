"""Sizes and growth, against what PostgreSQL and the rows say themselves."""

from __future__ import annotations

from datetime import UTC, datetime

from ft_ops.health import MonthGrowth, beyond_projection, measure_sizes
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database
from tests.health.conftest import FIRST, LAST

NOW = datetime(2025, 5, 2, tzinfo=UTC)


def test_a_partitioned_table_is_as_large_as_its_partitions(
    connection: Connection, sampled: Database
) -> None:
    sizes = measure_sizes(connection, NOW)
    tables = {table.name: table for table in sizes.tables}
    content = tables["public.content_segments"]
    partitions = [
        size for name, size in sizes.partitions.items() if name.startswith("content_segments_")
    ]
    assert content.table_bytes + content.index_bytes == sum(partitions)
    assert content.estimated_rows == 2400
    users = connection.execute(
        "SELECT pg_table_size('users'), pg_indexes_size('users'), count(*) FROM users"
    ).fetchone()
    found = tables["public.users"]
    assert (found.table_bytes, found.index_bytes, found.estimated_rows) == users
    assert "ops.archive" in tables
    assert not any("content_segments_2025" in name for name in tables)


def test_every_figure_is_kept_under_a_name_of_its_own(
    connection: Connection, sampled: Database
) -> None:
    samples = measure_sizes(connection, NOW).samples()
    assert len({(sample.metric, sample.subject) for sample in samples}) == len(samples)
    assert {"database_bytes", "table_bytes", "index_bytes", "partition_bytes"} <= {
        sample.metric for sample in samples
    }


def test_growth_counts_what_was_created_in_each_month(
    connection: Connection, sampled: Database
) -> None:
    growth = {entry.month: entry for entry in measure_sizes(connection, NOW).growth}
    assert list(growth) == list(Month(2024, 5).until(Month(2025, 5)))
    assert [growth[month].segments for month in FIRST.until(LAST)] == [600] * 4
    assert growth[Month(2025, 5)].segments == 0
    [(families, users)] = connection.execute(
        "SELECT (SELECT count(*) FROM families WHERE created_at >= '2024-05-01'),"
        " (SELECT count(*) FROM users WHERE created_at >= '2024-05-01')"
    ).fetchall()
    assert sum(entry.families or 0 for entry in growth.values()) == families
    assert sum(entry.users or 0 for entry in growth.values()) == users


def test_bytes_in_the_archive_are_counted_by_storage_class(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO ops.archive (month, generation, state, objects) VALUES"
        " ('2017-01-01', 1, 'frozen', '[{\"stored\": {\"bytes\": 7,"
        ' "storage_class": "DEEP_ARCHIVE"}}, {"stored": {"bytes": 5, "storage_class":'
        ' "DEEP_ARCHIVE"}}]\'),'
        " ('2017-02-01', 1, 'superseded', '[{\"stored\": {\"bytes\": 100,"
        ' "storage_class": "STANDARD"}}]\')'
    )
    assert measure_sizes(connection, NOW).archive == {"DEEP_ARCHIVE": 12}


def test_only_the_last_whole_month_is_held_against_the_projection() -> None:
    growth = [
        MonthGrowth(Month(2025, 3), 900_000, 9_000, 0, 10**13),
        MonthGrowth(Month(2025, 4), 225_001, 750, 0, 10**9),
        MonthGrowth(Month(2025, 5), 900_000, 9_000, 0, 10**13),
    ]
    assert beyond_projection(growth, NOW, 1.5) == [
        "225,001 segments in 2025-04, 150,000 were projected"
    ]
    assert beyond_projection(growth, NOW, 1.6) == []
    assert beyond_projection([], NOW, 1.5) == []


def test_a_month_that_could_not_be_counted_is_told_and_never_called_in_order() -> None:
    locked = [MonthGrowth(Month(2025, 4), None, 5, 5, None)]
    assert beyond_projection(locked, NOW, 1.5) == [
        "segments of 2025-04 were not counted: the table is locked"
    ]
    before = MonthGrowth(Month(2025, 3), 1, 0, 0, 9)
    [untold] = beyond_projection([before, MonthGrowth(Month(2025, 4), 1, 0, 0, None)], NOW, 1.5)
    assert untold.startswith("bytes of content of 2025-04 are not known: recompute_storage")
    assert beyond_projection([before, MonthGrowth(Month(2025, 4), 0, 0, 0, None)], NOW, 1.5) == []
