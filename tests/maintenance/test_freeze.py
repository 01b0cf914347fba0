"""A month that is over is frozen once, when it stands still, and then costs nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.errors import OpsError
from ft_ops.maintenance.tables.freeze import freeze_closed_partitions
from ft_ops.maintenance.tables.need import table_states
from ft_ops.maintenance.tables.vacuum import TableOutcome
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters


@pytest.fixture(scope="session")
def template(migrated: Database) -> Database:
    """Many months, of which some are long closed."""
    return migrated


DAY = timedelta(days=1)
JUNE_OVER = datetime(2024, 7, 2, 6, tzinfo=UTC)


@pytest.fixture
def june(connection: Connection) -> Connection:
    """The database with 5,000 rows of audit_log in June 2024, some of them dead."""
    connection.execute("ALTER TABLE audit_log_2024_06 SET (autovacuum_enabled = off)")
    connection.execute(
        "INSERT INTO audit_log (user_id, action, created_at)"
        " SELECT gen_random_uuid(), 'x', timestamptz '2024-06-01 00:00+00' + g * interval '8 min'"
        " FROM generate_series(1, 5000) AS g"
    )
    connection.execute("DELETE FROM audit_log WHERE created_at < '2024-06-01 02:00+00'")
    flush_counters(connection)
    return connection


def freeze(
    connection: Connection, now: datetime, *named: str, still_for: timedelta = DAY
) -> dict[str, TableOutcome]:
    outcomes = freeze_closed_partitions(
        connection, named, now=now, still_for=still_for, deadline=time.monotonic() + 60
    )
    return {outcome.table.name: outcome for outcome in outcomes}


def frozen(outcomes: dict[str, TableOutcome]) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome.result == "done"}


def test_a_closed_month_is_frozen_once_it_stood_still_for_a_day(june: Connection) -> None:
    first = freeze(june, JUNE_OVER)
    assert "audit_log_2024_06" in first
    assert frozen(first) == set()
    assert frozen(freeze(june, JUNE_OVER + DAY / 2)) == set()
    outcome = freeze(june, JUNE_OVER + DAY)["audit_log_2024_06"]
    assert outcome.result == "done"
    assert outcome.table.pages == outcome.table.visible_pages > 0
    # PostgreSQL 15 does not tell how many it froze.
    tells = june.info.server_version >= 160_000
    assert outcome.figures.pages_frozen == (outcome.table.pages if tells else None)
    assert outcome.table.freeze_share < 1e-6


def test_a_month_that_is_done_costs_nothing_again(june: Connection) -> None:
    freeze(june, JUNE_OVER)
    assert frozen(freeze(june, JUNE_OVER + DAY))
    before = {t.name: t.last_vacuum for t in table_states(june)}
    assert frozen(freeze(june, JUNE_OVER + 2 * DAY)) == set()
    assert before == {t.name: t.last_vacuum for t in table_states(june)}


def test_the_current_month_and_one_that_is_over_for_less_than_a_day_stay_open(
    june: Connection,
) -> None:
    now = datetime(2024, 7, 1, 23, tzinfo=UTC)
    names = set(freeze(june, now, still_for=timedelta(0)))
    assert "audit_log_2024_05" in names
    assert not names & {"audit_log_2024_06", "audit_log_2024_07"}


def test_a_month_that_still_changes_waits(june: Connection) -> None:
    freeze(june, JUNE_OVER)
    june.execute("UPDATE audit_log SET action = 'y' WHERE created_at < '2024-06-02 00:00+00'")
    flush_counters(june)
    outcome = freeze(june, JUNE_OVER + DAY)["audit_log_2024_06"]
    assert "rows changed" in outcome.detail
    assert outcome.result == "nothing to do"
    assert freeze(june, JUNE_OVER + 2 * DAY)["audit_log_2024_06"].result == "done"


def test_late_rows_open_a_frozen_month_again(june: Connection) -> None:
    freeze(june, JUNE_OVER, still_for=timedelta(0))
    assert freeze(june, JUNE_OVER)["audit_log_2024_06"].detail == "frozen before"
    june.execute("UPDATE audit_log SET action = 'y' WHERE created_at < '2024-06-02 00:00+00'")
    flush_counters(june)
    freeze(june, JUNE_OVER + DAY)
    assert "audit_log_2024_06" in frozen(freeze(june, JUNE_OVER + 2 * DAY))


def test_a_month_that_a_snapshot_holds_back_is_not_done_and_the_next_run_goes_on(
    june: Connection, database: Database
) -> None:
    with connect(database.url, application="tests") as other, other.transaction():
        other.execute("SELECT pg_current_xact_id()")
        june.execute("DELETE FROM audit_log WHERE created_at > '2024-06-27 00:00+00'")
        held = freeze(june, JUNE_OVER, "audit_log_2024_06")["audit_log_2024_06"]
        assert held.result == "held back"
        assert "not all-visible" in held.detail
    flush_counters(june)
    assert freeze(june, JUNE_OVER, still_for=timedelta(0))["audit_log_2024_06"].result == "done"


def test_a_named_month_need_not_stand_still(june: Connection) -> None:
    assert frozen(freeze(june, JUNE_OVER, "audit_log_2024_06")) == {"audit_log_2024_06"}


def test_of_a_month_that_is_itself_partitioned_the_parts_are_frozen(june: Connection) -> None:
    june.execute(
        "DROP TABLE audit_log_2024_05;"
        " CREATE TABLE may PARTITION OF audit_log"
        " FOR VALUES FROM ('2024-05-01 00:00Z') TO ('2024-06-01 00:00Z')"
        " PARTITION BY RANGE (created_at);"
        " CREATE TABLE may_whole PARTITION OF may"
        " FOR VALUES FROM ('2024-05-01 00:00Z') TO ('2024-06-01 00:00Z')"
    )
    outcomes = freeze(june, JUNE_OVER, still_for=timedelta(0))
    assert outcomes["may_whole"].result == "done"
    assert {o.result for o in outcomes.values()} == {"done"}


def test_a_name_of_no_closed_month_is_an_error(june: Connection) -> None:
    with pytest.raises(OpsError, match="partitions audit_log_2024_07"):
        freeze(june, JUNE_OVER, "audit_log_2024_07")
