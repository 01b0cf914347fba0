"""A slow query is explained by the first thing that an engineer should look at."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import psycopg
import pytest

from ft_ops.health import Latencies, Screen, ScreenResult, judge, measure_latency, sample_parameters
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database

NEVER_FAST_ENOUGH = 0.0
ALWAYS_FAST_ENOUGH = 1e9


def verdict(
    connection: Connection,
    query: str,
    target_ms: float = NEVER_FAST_ENOUGH,
    timeout_ms: int = 5000,
) -> ScreenResult:
    latencies = measure_latency(
        connection,
        sample_parameters(connection, 2, Random(1)),
        app_role="ft_app",
        timeout_ms=timeout_ms,
        budget_seconds=60,
    )
    [found] = judge(
        connection,
        latencies,
        [Screen("screen", (query,), target_ms)],
        app_role="ft_app",
        timeout_ms=timeout_ms,
        now=datetime.now(UTC),
    )
    return found


def test_a_target_that_is_met_needs_no_plan(reader: Connection) -> None:
    found = verdict(reader, "thread_with_content", ALWAYS_FAST_ENOUGH)
    assert found.met
    assert found.slow == ()


@pytest.mark.parametrize(
    ("query", "index", "column"),
    [
        ("family_memory_books", "idx_memory_books_family", "memory_books(family_id)"),
        ("family_storage", "idx_threads_memory_book", "threads(memory_book_id)"),
        ("search_by_tags", "idx_family_members_user", "family_members(user_id)"),
        ("active_members", "idx_content_segments_user", "content_segments(user_id)"),
    ],
)
def test_a_dropped_index_is_named(
    reader: Connection, connection: Connection, query: str, index: str, column: str
) -> None:
    connection.execute(psycopg.sql.SQL("DROP INDEX {}").format(psycopg.sql.Identifier(index)))
    found = verdict(reader, query)
    assert not found.met
    assert found.slow[0].finding.cause == "missing index"
    assert column in found.words


def test_a_dropped_key_of_the_registry_is_named(reader: Connection, connection: Connection) -> None:
    connection.execute(
        "ALTER TABLE content_segment_keys"
        " DROP CONSTRAINT content_segment_keys_thread_id_sequence_number_key"
    )
    assert "content_segment_keys(thread_id)" in verdict(reader, "thread_with_content").words


def test_an_index_that_one_partition_lacks_is_named(
    reader: Connection, connection: Connection
) -> None:
    """A partition whose index is invalid drags every query down that visits it."""
    connection.execute("DROP INDEX idx_content_segments_user")
    connection.execute("CREATE INDEX idx_content_segments_user ON ONLY content_segments (user_id)")
    for (name,) in connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'content_segments'::regclass ORDER BY 1 OFFSET 1"
    ).fetchall():
        connection.execute(
            psycopg.sql.SQL("CREATE INDEX ON {} (user_id)").format(psycopg.sql.Identifier(name))
        )
    assert "content_segments(user_id) in 1 partitions" in verdict(reader, "active_members").words


def test_missing_statistics_are_named(reader: Connection, sampled: Database) -> None:
    with psycopg.connect(sampled.admin_url, autocommit=True) as admin:
        # Autovacuum would count them anew.
        admin.execute("ALTER TABLE threads SET (autovacuum_enabled = off)")
        admin.execute("DELETE FROM pg_statistic WHERE starelid = 'threads'::regclass")
    found = verdict(reader, "family_storage")
    assert found.slow[0].finding.cause == "stale statistics"
    assert "threads (none)" in found.words


def test_changed_rows_since_analyze_are_named(reader: Connection, connection: Connection) -> None:
    connection.execute("ALTER TABLE threads SET (autovacuum_enabled = off)")
    connection.execute("UPDATE threads SET title = title")
    connection.execute("SELECT pg_stat_force_next_flush()")
    found = verdict(reader, "family_storage")
    assert found.slow[0].finding.cause == "stale statistics"
    assert "rows changed since" in found.words


def test_a_plan_that_reads_old_months_for_recent_content_is_named(
    sampled: Database, connection: Connection
) -> None:
    connection.execute("UPDATE users SET last_login_at = now()")
    connection.execute("ANALYZE users")
    settings = {"enable_partition_pruning": "off"}
    with connect(sampled.url, application="tests", settings=settings) as unpruned:
        found = verdict(unpruned, "active_members")
    assert found.slow[0].finding.cause == "no pruning"
    assert "partitions older than 30 days were read" in found.words


def test_in_a_sound_database_the_costliest_step_is_named(reader: Connection) -> None:
    found = verdict(reader, "family_storage")
    assert found.slow[0].finding.cause in {"costly step", "busy server"}


def test_a_costly_function_is_named(reader: Connection) -> None:
    """What a query reads through a helper function stands in the plan as that function."""
    [slow] = verdict(reader, "family_storage").slow
    assert "Function Scan on content_sizes" in {node.words for node in slow.plan.root.walk()}


def test_a_moment_of_a_busy_server_does_not_hide_a_missing_index(
    reader: Connection, connection: Connection
) -> None:
    connection.execute("DROP INDEX idx_threads_memory_book")
    latencies = Latencies(
        parameters=tuple(sample_parameters(reader, 1, Random(1))),
        times_ms={"family_storage": (60.0,), "active_members": (4000.0,)},
        timeouts={},
        round_trip_ms=0,
        role="ft_app",
    )
    dashboard = Screen("dashboard", ("family_storage", "active_members"), 50)
    [found] = judge(
        reader,
        latencies,
        [dashboard],
        app_role="ft_app",
        timeout_ms=5000,
        now=datetime.now(UTC),
    )
    assert [slow.finding.cause for slow in found.slow] == ["missing index", "busy server"]
    assert "threads(memory_book_id)" in found.words


def test_the_plan_is_kept_without_the_tags_that_were_searched(reader: Connection) -> None:
    [slow] = verdict(reader, "search_by_tags").slow
    tags = {tag for visitor in sample_parameters(reader, 2, Random(1)) for tag in visitor.tags}
    assert tags
    assert '"Node Type"' in slow.plan.document
    assert not any(tag in slow.plan.document for tag in tags)


def test_a_query_that_can_not_be_run_in_time_is_explained_without_running_it(
    sampled: Database,
) -> None:
    settings = {"lock_timeout": "0"}
    with (
        connect(sampled.url, application="tests", settings=settings) as connection,
        psycopg.connect(sampled.admin_url, autocommit=True) as admin,
    ):
        if connection.info.server_version < 160_000:
            pytest.skip("PostgreSQL 15 measures as the operations, whom no policy stops")
        # Planning goes on, running waits until the time-out.
        admin.execute(
            "CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN true; END $$"
        )
        admin.execute("CREATE POLICY wait ON families AS RESTRICTIVE USING (wait())")
        admin.execute("SELECT pg_advisory_lock(1)")
        # What was given up counts as the time-out, which the target may be above.
        found = verdict(connection, "family_storage", ALWAYS_FAST_ENOUGH, timeout_ms=200)
    assert found.percentiles.p50 == 200
    assert not found.met
    assert "p95 at least 200.0 ms" in found.words
    assert not found.slow[0].plan.was_run
