"""One table that somebody has to himself is named, and the rest is done."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.errors import OpsError
from ft_ops.health import measure_sizes
from ft_ops.maintenance.indexes.advice import index_advice
from ft_ops.maintenance.indexes.bloat import estimate_indexes
from ft_ops.maintenance.indexes.journal import drop_leftovers, settle_unfinished
from ft_ops.maintenance.indexes.leftovers import invalid_indexes
from ft_ops.maintenance.tables.freeze import freeze_closed_partitions
from ft_ops.maintenance.tables.vacuum import refuse_failed
from ft_ops.maintenance.tables.wraparound import wraparound
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.tables import make_letters, thin_out
from tests.maintenance.test_rebuild import leave_leftover, plan, rebuild, results, terms
from tests.maintenance.test_vacuum import delete_letters, vacuum


@pytest.fixture(scope="session")
def template(migrated: Database) -> Database:
    """Many months, of which some are long closed."""
    return migrated


NOW = datetime.now(UTC)
FAST = 4.0
"""Seconds; whatever waits for the lock would take five for its time-out alone."""


@pytest.fixture
def holder(database: Database) -> Iterator[Connection]:
    """Another session in a transaction that stays open for the test."""
    with connect(database.url, application="a migration") as other, other.transaction():
        yield other


def lock(holder: Connection, table: str) -> None:
    holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")


def test_other_tables_are_vacuumed_and_the_locked_one_fails_by_name(
    connection: Connection, holder: Connection
) -> None:
    make_letters(connection)
    make_letters(connection, "notes")
    delete_letters(connection, 0.5)
    connection.execute("DELETE FROM notes WHERE sender <= 10000")
    connection.execute("SELECT pg_stat_force_next_flush()")
    lock(holder, "letters")
    lock(holder, "audit_log_2024_06")
    began = time.monotonic()
    outcomes = vacuum(connection)
    assert time.monotonic() - began < FAST
    assert outcomes["notes"].result == "done"
    assert outcomes["content_segments"].result == "done"
    for name in ("letters", "audit_log"):
        assert outcomes[name].result == "locked"
        assert "ft-ops a migration), idle in transaction" in outcomes[name].detail
    assert "in audit_log_2024_06" in outcomes["audit_log"].detail
    with pytest.raises(OpsError, match=r"public\.letters: .* --- lock not available: locked by"):
        refuse_failed(outcomes.values())


def test_other_months_are_frozen(connection: Connection, holder: Connection) -> None:
    lock(holder, "audit_log_2024_06")
    outcomes = freeze_closed_partitions(
        connection,
        (),
        now=datetime(2024, 9, 5, tzinfo=UTC),
        still_for=timedelta(0),
        deadline=time.monotonic() + 60,
    )
    by_name = {outcome.table.name: outcome for outcome in outcomes}
    assert by_name["audit_log_2024_05"].result == "done"
    assert by_name["audit_log_2024_06"].result == "locked"
    assert "a migration" in by_name["audit_log_2024_06"].detail


def test_indexes_of_others_are_estimated_and_rebuilt(
    connection: Connection, holder: Connection, database: Database
) -> None:
    for table in ("letters", "notes"):
        make_letters(connection, table)
        thin_out(connection, table)
    lock(holder, "letters")
    found = {
        e.index.name: e for e in estimate_indexes(connection, chance=random.Random(1), store=True)
    }
    assert found["letters_pkey"].method == "unknown"
    assert "public.letters is locked by session" in (found["letters_pkey"].problem or "")
    assert found["notes_pkey"].reclaimable_share > 0.6
    with connect(database.url, application="watching") as beside:
        assert results(rebuild(connection, beside)) == {
            "notes_pkey": "rebuilt",
            "notes_sender": "rebuilt",
        }


def test_a_table_that_is_locked_between_the_estimate_and_its_rebuild_is_left_for_later(
    connection: Connection, holder: Connection, database: Database
) -> None:
    for table in ("letters", "notes"):
        make_letters(connection, table)
        thin_out(connection, table)
    with connect(database.url, application="watching") as beside:

        def migrate(line: str) -> None:
            if line.startswith("rebuilding public.letters"):
                lock(holder, "notes")

        outcomes = rebuild(connection, beside, log=migrate)
    assert {name: o.result for name, o in outcomes.items() if name.startswith("letters")} == {
        "letters_pkey": "rebuilt",
        "letters_sender": "rebuilt",
    }
    deferred = [o for name, o in outcomes.items() if o.result == "deferred"]
    assert deferred
    assert all("public.notes is locked by" in o.detail for o in deferred)


def test_checks_and_advice_look_at_the_rest(
    connection: Connection, holder: Connection, database: Database
) -> None:
    make_letters(connection, rows=10)
    leave_leftover(database, "letters_sender")
    lock(holder, "letters")
    lock(holder, "content_segments_2024_06")
    began = time.monotonic()
    assert [index.name for index in invalid_indexes(connection)] == ["letters_sender_ccnew"]
    assert wraparound(connection).level == "fine"
    assert any("public.letters" in name for name in index_advice(connection, now=NOW).locked)
    sizes = measure_sizes(connection, NOW)
    assert any("content_segments_2024_06 is locked by" in name for name in sizes.locked)
    assert {"public.letters", "public.users"} <= {table.name for table in sizes.tables}
    assert time.monotonic() - began < FAST


def test_growth_is_counted_but_for_the_month_that_is_locked(
    connection: Connection, holder: Connection
) -> None:
    lock(holder, "content_segments_2024_06")
    growth = {
        str(g.month): g.segments
        for g in measure_sizes(connection, datetime(2024, 8, 3, tzinfo=UTC)).growth
    }
    assert growth["2024-06"] is None
    assert growth["2024-07"] == 0


def test_whose_a_leftover_is_waits_until_its_table_can_be_looked_at(
    connection: Connection, holder: Connection, database: Database
) -> None:
    make_letters(connection, rows=10)
    leave_leftover(database, "letters_sender")
    # As a run leaves it that died in the middle.
    connection.execute(
        """
        INSERT INTO ops.index_rebuilds (schema_name, table_name, index_name, definition, file_node,
            state, foreign_leftovers, bytes_before, work_bytes, predicted_seconds)
        SELECT 'public', 'letters', 'letters_sender',
            'false' || split_part(pg_get_indexdef('letters_sender'::regclass), ' ON ', 2),
            relfilenode, 'begun', '{}', 1, 1, 1
        FROM pg_class WHERE relname = 'letters_sender'
        """
    )
    lock(holder, "letters")
    settle_unfinished(connection, lambda line: None)
    assert connection.execute("SELECT state FROM ops.index_rebuilds").fetchone() == ("begun",)
    holder.execute("ROLLBACK")
    settle_unfinished(connection, lambda line: None)
    assert drop_leftovers(connection, lambda line: None) == []
    assert invalid_indexes(connection) == []


def test_a_dry_run_names_the_lock(connection: Connection, holder: Connection) -> None:
    make_letters(connection)
    thin_out(connection)
    holder.execute("LOCK TABLE letters IN SHARE MODE")
    [first, *_] = plan(connection, terms())
    assert first.result == "deferred"
    assert "lock of session" in first.detail
