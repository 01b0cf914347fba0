"""The product queries are measured as the application runs them, within bounds."""

from __future__ import annotations

from itertools import count
from random import Random

import psycopg
import pytest

from ft_ops.errors import OpsError
from ft_ops.health import (
    PRODUCT_QUERIES,
    Latencies,
    Percentiles,
    Screen,
    measure_latency,
    sample_parameters,
)
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database

NOBODY = "no_such_role"


def measure(connection: Connection, number: int = 3, app_role: str = NOBODY) -> Latencies:
    return measure_latency(
        connection,
        sample_parameters(connection, number, Random(1)),
        app_role=app_role,
        timeout_ms=5000,
        budget_seconds=60,
    )


def test_visitors_are_members_who_look_at_their_own_family(reader: Connection) -> None:
    visitors = sample_parameters(reader, 20, Random(1))
    assert len(visitors) == 20
    assert len({visitor.thread_id for visitor in visitors}) > 10
    assert any(visitor.tags for visitor in visitors)
    for visitor in visitors:
        row = reader.execute(
            "SELECT count(*) FROM threads AS t"
            " JOIN memory_books AS mb ON mb.id = t.memory_book_id"
            " JOIN family_members AS fm ON fm.family_id = mb.family_id AND fm.is_active"
            " WHERE t.id = %s AND mb.family_id = %s AND fm.user_id = %s",
            (visitor.thread_id, visitor.family_id, visitor.user_id),
        ).fetchone()
        assert row == (1,)


def test_an_empty_database_has_no_visitors(connection: Connection) -> None:
    assert sample_parameters(connection, 5, Random(1)) == []


def test_content_that_nobody_sees_is_not_taken_for_none(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO content_segment_keys (id, created_at, thread_id, sequence_number)"
        " VALUES (gen_random_uuid(), now(), gen_random_uuid(), 1)"
    )
    with pytest.raises(OpsError, match="no family with an active member has any content"):
        sample_parameters(connection, 5, Random(1))


def test_every_query_is_measured_for_every_visitor(reader: Connection) -> None:
    found = measure(reader)
    assert found.samples == 3
    assert {name: len(times) for name, times in found.times_ms.items()} == dict.fromkeys(
        PRODUCT_QUERIES, 3
    )
    assert all(time > 0 for times in found.times_ms.values() for time in times)


def test_a_screen_takes_as_long_as_its_queries_together() -> None:
    found = Latencies(
        parameters=(),
        times_ms={"a": (1.0, 20.0), "b": (10.0, 2.0)},
        timeouts={},
        round_trip_ms=0,
        role="",
    )
    assert found.screen_times(Screen("both", ("a", "b"), 50)) == [11.0, 22.0]


def test_percentiles_are_those_of_the_numbers_one_to_hundred() -> None:
    found = Percentiles.of([float(number) for number in range(101)])
    assert (found.p50, found.p95, found.p99) == (50, 95, 99)


def test_an_execution_that_takes_too_long_is_ended_and_counts_as_that_long(
    sampled: Database,
) -> None:
    settings = {"lock_timeout": "0"}
    with (
        connect(sampled.url, application="tests", settings=settings) as connection,
        psycopg.connect(sampled.url) as other,
    ):
        visitors = sample_parameters(connection, 2, Random(1))
        other.execute("LOCK TABLE photo_narrations IN ACCESS EXCLUSIVE MODE")
        found = measure_latency(
            connection, visitors, app_role=NOBODY, timeout_ms=200, budget_seconds=60
        )
    assert found.timeouts["thread_with_content"] == 2
    assert found.times_ms["thread_with_content"] == (200.0, 200.0)
    assert found.timeouts["family_storage"] == 0


def test_no_visitor_is_begun_after_the_budget(reader: Connection) -> None:
    seconds = count()
    found = measure_latency(
        reader,
        sample_parameters(reader, 50, Random(1)),
        app_role=NOBODY,
        timeout_ms=5000,
        # Each look at this clock takes a second: a visitor of five queries takes eleven.
        budget_seconds=30,
        clock=lambda: float(next(seconds)),
    )
    assert found.samples == 3


def test_queries_run_as_the_application_for_the_visitor(
    sampled: Database, reader: Connection
) -> None:
    if reader.info.server_version < 160_000:
        pytest.skip("PostgreSQL 15 has no grant without inheritance, so none is given")
    with psycopg.connect(sampled.admin_url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE NOTICE '% for %', current_user, current_setting('app.current_user_id', true);"
            " RETURN true; END $$"
        )
        admin.execute("CREATE POLICY spy ON families AS RESTRICTIVE USING (spy())")
    notices: list[str] = []
    reader.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    [visitor] = sample_parameters(reader, 1, Random(1))
    found = measure_latency(
        reader, [visitor], app_role="ft_app", timeout_ms=5000, budget_seconds=60
    )
    assert found.role == "ft_app"
    assert set(notices) == {f"ft_app for {visitor.user_id}"}
    assert reader.execute("SELECT current_user, current_setting('row_security')").fetchone() == (
        "ft_ops",
        "off",
    )


def test_without_the_grant_they_run_as_the_operations_and_say_so(reader: Connection) -> None:
    assert measure(reader, 1).role == "ft_ops"


def test_measuring_writes_nothing(reader: Connection) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute("DELETE FROM content_tags")
    measure(reader, 1)
