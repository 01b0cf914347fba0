"""Tables are vacuumed and analysed when their counters ask for it, and what came of it is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Literal

import psycopg
import pytest
from psycopg import conninfo, sql

from ft_ops.errors import OpsError
from ft_ops.maintenance.tables.need import plan_tables, table_states
from ft_ops.maintenance.tables.vacuum import (
    TableOutcome,
    planned,
    refuse_denied,
    vacuum_tables,
)
from ft_ops.pg.application import require_monitoring
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters, make_letters

NOW = datetime.now(UTC)


def vacuum(connection: Connection, *named: str, seconds: float = 60) -> dict[str, TableOutcome]:
    outcomes = vacuum_tables(connection, named, now=NOW, deadline=time.monotonic() + seconds)
    return {outcome.table.name: outcome for outcome in outcomes}


def delete_letters(connection: Connection, share: float) -> None:
    connection.execute("DELETE FROM letters WHERE sender <= 20000 * %s", (share,))
    flush_counters(connection)


def test_dead_rows_beyond_half_the_trigger_are_removed(connection: Connection) -> None:
    make_letters(connection)
    delete_letters(connection, 0.15)  # autovacuum would begin at 20 % and 50 rows
    outcome = vacuum(connection)["letters"]
    assert outcome.result == "done"
    assert outcome.figures.dead_removed == 3000
    assert outcome.figures.dead_kept == 0
    assert outcome.figures.wal_bytes is not None
    assert outcome.figures.wal_bytes > 0
    assert "3,000 dead rows" in outcome.reasons[0]


def test_dead_rows_below_half_the_trigger_are_left_to_autovacuum(connection: Connection) -> None:
    make_letters(connection)
    delete_letters(connection, 0.03)
    outcome = vacuum(connection)["letters"]
    assert outcome.result == "nothing to do"


def test_a_tables_own_trigger_is_honoured(connection: Connection) -> None:
    make_letters(connection)
    connection.execute("ALTER TABLE letters SET (autovacuum_vacuum_scale_factor = 0.01)")
    delete_letters(connection, 0.03)
    assert vacuum(connection)["letters"].result == "done"


def test_a_main_table_is_vacuumed_after_any_change(connection: Connection) -> None:
    connection.execute("INSERT INTO users (clerk_id, email) VALUES ('a', 'a'), ('b', 'b')")
    connection.execute("DELETE FROM users WHERE clerk_id = 'b'")
    flush_counters(connection)
    outcome = vacuum(connection)["users"]
    assert (outcome.result, outcome.action) == ("done", "vacuum and analyze")
    assert outcome.figures.dead_removed == 1


def test_after_a_run_no_criterion_holds_and_a_second_run_does_nothing(
    connection: Connection,
) -> None:
    make_letters(connection)
    connection.execute("INSERT INTO users (clerk_id, email) VALUES ('a', 'a')")
    connection.execute(
        "INSERT INTO audit_log (user_id, action) SELECT gen_random_uuid(), 'x'"
        " FROM generate_series(1, 500)"
    )
    delete_letters(connection, 0.5)
    first = vacuum(connection)
    assert {"letters", "users", f"audit_log_{NOW:%Y_%m}"} <= {
        name for name, outcome in first.items() if outcome.result == "done"
    }
    assert not [
        plan
        for plan in plan_tables(table_states(connection), (), NOW)
        if plan.reasons and not plan.table.is_parent
    ]
    second = vacuum(connection)
    assert {name for name, outcome in second.items() if outcome.result == "done"} == {
        name for name, outcome in second.items() if outcome.table.is_parent
    }


def test_parents_are_analysed_in_every_run(connection: Connection) -> None:
    before = {t.name: t.last_analyze for t in table_states(connection) if t.is_parent}
    assert set(before) >= {"content_segments", "audit_log"}
    for _ in range(2):
        outcomes = vacuum(connection)
        after = {t.name: t.last_analyze for t in table_states(connection) if t.is_parent}
        for name, analyzed_at in before.items():
            assert outcomes[name].action == "analyze"
            assert after[name] is not None
            assert after[name] != analyzed_at
        before = after


def test_rows_that_a_snapshot_still_needs_are_told_with_its_session(
    connection: Connection, database: Database
) -> None:
    make_letters(connection)
    postgres = conninfo.make_conninfo(database.admin_url, dbname="postgres")
    with (
        connect(postgres, application="elsewhere") as elsewhere,
        elsewhere.transaction(),
        connect(database.url, application="a long report") as other,
        other.transaction(),
    ):
        for session in (elsewhere, other):
            session.execute("SELECT pg_current_xact_id()")
        delete_letters(connection, 0.5)
        outcome = vacuum(connection)["letters"]
    assert outcome.figures.dead_kept == 10_000
    assert "a long report" in outcome.held_back_by
    # A session of another database keeps no row of this one.
    assert "elsewhere" not in outcome.held_back_by


@pytest.mark.parametrize("named", [True, False])
def test_a_locked_table_is_not_waited_for_and_not_called_done(
    connection: Connection, database: Database, named: bool
) -> None:
    make_letters(connection)
    delete_letters(connection, 0.5)
    with connect(database.url, application="tests") as other, other.transaction():
        other.execute("LOCK TABLE letters IN SHARE UPDATE EXCLUSIVE MODE")
        outcome = vacuum(connection, *(["letters"] if named else []))["letters"]
    assert outcome.result == "locked"
    assert "lock not available" in outcome.detail


def test_tables_named_by_hand_are_vacuumed_whatever_their_counters_say(
    connection: Connection,
) -> None:
    outcomes = vacuum(connection, "threads", "ops.archive")
    assert {name: outcome.result for name, outcome in outcomes.items()} == {
        "threads": "done",
        "archive": "done",
    }


def test_a_name_that_no_table_has_is_an_error(connection: Connection) -> None:
    with pytest.raises(OpsError, match=r"tables thread: no table of that name exists"):
        vacuum(connection, "thread", "users")


def test_nothing_begins_when_the_window_is_over(connection: Connection) -> None:
    make_letters(connection)
    delete_letters(connection, 0.5)
    assert vacuum(connection, seconds=0)["letters"].result == "out of time"
    assert vacuum(connection)["letters"].result == "done"


def test_a_dry_run_says_what_it_would_do_and_does_not(connection: Connection) -> None:
    make_letters(connection)
    delete_letters(connection, 0.5)
    results: set[Literal["planned"] | str] = set()
    for _ in range(2):
        outcomes = planned(plan_tables(table_states(connection), (), NOW))
        results |= {outcome.result for outcome in outcomes if outcome.table.name == "letters"}
    assert results == {"planned"}


def test_a_table_out_of_reach_is_an_error_that_names_what_lets_us_in(
    connection: Connection, database: Database
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        # The owner of a database may vacuum all of it.
        admin.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(sql.Identifier(database.name))
        )
        for name in ("theirs", "readers"):
            admin.execute(f"CREATE TABLE {name} AS SELECT g FROM generate_series(1, 10000) AS g")
        admin.execute("ALTER TABLE readers OWNER TO ft_readonly")
        flush_counters(admin)
    outcomes = vacuum(connection)
    assert {outcomes[name].result for name in ("theirs", "readers")} == {"denied"}
    assert outcomes["content_segments"].result == "done"
    with pytest.raises(OpsError) as refusal:
        refuse_denied(outcomes.values())
    # A member of the superuser's role would be one.
    assert refusal.value.next_step == (
        'as an administrator: ALTER TABLE "public"."theirs" OWNER TO <the operations role>; '
        'GRANT "ft_readonly" TO <the operations role>'
    )


def test_a_table_in_a_schema_that_is_closed_to_us_is_out_of_reach(
    connection: Connection, database: Database
) -> None:
    """The owner of a database may vacuum all of it, and finds nothing there."""
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA closed AUTHORIZATION ft_readonly")
        admin.execute("CREATE TABLE closed.owned AS SELECT g FROM generate_series(1, 10000) AS g")
        admin.execute("CREATE TABLE closed.servers AS TABLE closed.owned")
        admin.execute("ALTER TABLE closed.owned OWNER TO ft_readonly")
        flush_counters(admin)
    outcomes = vacuum(connection)
    assert {outcomes[name].result for name in ("owned", "servers")} == {"denied"}
    with pytest.raises(OpsError) as refusal:
        refuse_denied(outcomes.values())
    assert refusal.value.next_step == (
        'as an administrator: ALTER TABLE "closed"."servers" OWNER TO <the operations role>; '
        'GRANT USAGE ON SCHEMA "closed" TO <the operations role>; '
        'GRANT "ft_readonly" TO <the operations role>'
    )


def test_a_role_that_sees_no_other_sessions_is_refused(database: Database) -> None:
    with (
        connect(database.app_url, application="tests") as application,
        pytest.raises(OpsError, match='GRANT pg_monitor TO "ft_app"'),
    ):
        require_monitoring(application)
    with connect(database.url, application="tests") as operations:
        require_monitoring(operations)
