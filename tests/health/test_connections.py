"""Real sessions that hold something up are seen, and told once they do so for too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from ft_ops.errors import OpsError
from ft_ops.health import (
    Connections,
    current_samples,
    look_at_connections,
    write_samples,
)
from ft_ops.health.connections.sessions import (
    Session,
    Slot,
    StreamingReplica,
    Usage,
    headroom_problems,
    nearly_out,
    replication_problems,
    stuck_problems,
)
from ft_ops.health.samples import Sample
from ft_ops.pg.connect import Connection, connect, server_time
from ft_ops.settings import Settings
from tests.fixtures.postgres import Database

POLICY = Settings()


def look(connection: Connection) -> Connections:
    return look_at_connections(connection, "ft_app")


def look_until(connection: Connection, condition: Callable[[Connections], bool]) -> Connections:
    deadline = time.monotonic() + 30
    while not condition(found := look(connection)):
        assert time.monotonic() < deadline, f"never seen: {found}"
    return found


def session(found: Connections, pid: int) -> Session:
    [match] = [item for item in found.sessions if item.pid == pid]
    return match


def waits_for_a_lock(found: Connections, pid: int) -> bool:
    """What a session waits for is read before who blocks it, so one row may show two moments."""
    return any(
        item.pid == pid and item.blocked_by and item.waits_for.startswith("Lock ")
        for item in found.sessions
    )


def test_who_blocks_whom_is_seen(connection: Connection, database: Database) -> None:
    with blocked(database) as (blocker, waiter):
        found = look_until(connection, lambda seen: waits_for_a_lock(seen, waiter))
        assert session(found, waiter).blocked_by == [blocker]
        assert session(found, blocker).state == "idle in transaction"


def test_what_is_stuck_for_too_long_is_told(connection: Connection, database: Database) -> None:
    with blocked(database) as (blocker, waiter):
        found = look_until(connection, lambda seen: waits_for_a_lock(seen, waiter))
    assert list(stuck_problems(found, POLICY)) == []
    later = replace(
        found,
        sessions=tuple(
            replace(item, state_seconds=61, blocked_seconds=31 if item.blocked_by else 0)
            for item in found.sessions
            if item.pid in {blocker, waiter}
        ),
    )
    assert sorted(stuck_problems(later, POLICY)) == sorted(
        [
            f"pid {blocker} (blocker) is idle in its transaction for 61 s",
            f"pid {waiter} (waiter) waits for pid {blocker} for 31 s",
        ]
    )


def test_a_snapshot_is_seen_and_told_when_it_is_old(
    connection: Connection, database: Database
) -> None:
    with psycopg.connect(database.url) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM users")
        pid = other.info.backend_pid
        found = look(connection)
        assert session(found, pid).holds_snapshot
        assert found.oldest_snapshot_seconds > 0
    aged = replace(session(found, pid), transaction_seconds=301, state_seconds=0)
    [problem] = stuck_problems(replace(found, sessions=(aged,)), POLICY)
    assert "holds a snapshot for 301 s" in problem


def test_no_query_text_leaves_the_server(connection: Connection, database: Database) -> None:
    with psycopg.connect(database.url) as other:
        other.execute("SELECT 'a family secret'")
        assert "secret" not in repr(look(connection))


def test_a_slot_and_what_it_holds_back_are_seen(connection: Connection, database: Database) -> None:
    name = f"slot_of_{database.name}"
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))
        try:
            [slot] = [item for item in look(connection).slots if item.name == name]
        finally:
            admin.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    assert (slot.kind, slot.is_active) == ("physical", False)
    assert slot.retained_bytes >= 0


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        (Slot("a", "physical", True, "reserved", 10 * 10**9), None),
        (Slot("a", "physical", False, "extended", 11 * 10**9), "slot a holds back 11.0 GB"),
        (Slot("a", "physical", False, "lost", 0), "slot a has lost log"),
    ],
)
def test_slots_that_hold_back_too_much_are_told(slot: Slot, words: str | None) -> None:
    found = Connections(Usage(100, 3, 1, 0, 0), (), (), (), (slot,))
    problems = list(replication_problems(found, POLICY))
    assert [words in problem for problem in problems if words] == ([True] if words else [])
    assert bool(problems) == bool(words)


def test_a_replica_that_lags_is_told() -> None:
    replicas = (
        StreamingReplica("near", "streaming", 59, 0),
        StreamingReplica("far", "streaming", 61, 0),
    )
    found = Connections(Usage(100, 3, 1, 0, 0), (), (), replicas, ())
    assert list(replication_problems(found, POLICY)) == ["replica far lags 61 s behind"]


def test_a_replica_that_is_gone_is_told_and_one_that_a_backup_was_for_some_hours_is_not(
    connection: Connection,
) -> None:
    """Nobody waits for one without a slot: no view of the server names it any more."""
    now = server_time(connection)
    for hours in (1, 2, 3):
        at = now - timedelta(hours=hours)
        figures = [Sample("connections", "used", 5), Sample("replica_lag_seconds", "near", 0)]
        backup = [Sample("replica_lag_seconds", "backup", 0)] if hours == 1 else []
        write_samples(connection, [*figures, *backup], at)
    found = look(connection)
    [problem] = replication_problems(found, POLICY)
    assert problem.startswith("1 of 1 replicas not connected: backup, seen last")
    assert "; near, seen last" in problem
    back = replace(found, replicas=(StreamingReplica("near again", "streaming", 0, 0),))
    assert list(replication_problems(back, POLICY)) == []


def test_two_replicas_of_one_name_are_measured_by_the_one_that_lags_more(
    connection: Connection,
) -> None:
    """Both are called walreceiver where nobody has named them."""
    replicas = tuple(StreamingReplica("walreceiver", "streaming", lag, 0) for lag in (1, 61, 2))
    found = Connections(Usage(100, 3, 1, 0, 0), (), (), replicas, ())
    write_samples(connection, found.samples(), server_time(connection))
    kept = current_samples(connection, server_time(connection), timedelta(days=1))
    assert [s.value for s in kept if s.metric == "replica_lag_seconds"] == [61.0]


def test_who_sees_no_other_sessions_counts_none(database: Database) -> None:
    """It would call a server with no connection left one that nobody uses."""
    with (
        connect(database.app_url, application="tests") as application,
        pytest.raises(OpsError, match='GRANT pg_monitor TO "ft_app"'),
    ):
        look(application)


def test_connections_are_counted_for_the_server_and_the_application(
    connection: Connection, database: Database
) -> None:
    with ExitStack() as open_connections:
        for url in [database.app_url, database.url] * 10:
            open_connections.enter_context(psycopg.connect(url))
        usage = look(connection).usage
    # Other tests come and go on the same server; these twenty and our own are sure.
    assert 10 <= usage.application <= usage.used - 11
    assert usage.available < usage.max_connections
    assert (usage.application_limit, usage.here_limit) == (None, None)


def test_a_database_that_takes_no_more_is_told_though_the_server_has_room(
    connection: Connection, database: Database
) -> None:
    with ExitStack() as open_connections:
        for _ in range(7):
            open_connections.enter_context(psycopg.connect(database.app_url))
        used = look(connection).usage.here
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
            admin.execute(limit.format(sql.Identifier(database.name), sql.Literal(used + 1)))
        usage = look(connection).usage
    [problem] = headroom_problems(usage, 25)
    assert problem == f"{usage.here} of {used + 1} connections of this database are in use"


def test_headroom_is_told_at_four_fifths_and_is_an_error_near_the_end() -> None:
    roomy, tight, out = (Usage(103, 3, used, 0, 0) for used in (79, 80, 95))
    assert list(headroom_problems(roomy, 25)) == []
    assert list(headroom_problems(tight, 25)) == ["80 of 100 connections are in use"]
    assert (nearly_out(tight), nearly_out(out)) == (False, True)
    for limits in ({"application_limit": 10}, {"here_limit": 10}):
        for used, words, is_out in ((7, 0, False), (8, 1, False), (10, 1, True)):
            usage = Usage(103, 3, used, used, 0, used, **limits)
            assert len(list(headroom_problems(usage, 25))) == words
            assert nearly_out(usage) == is_out


def test_a_pool_that_is_used_up_is_told() -> None:
    usage = Usage(103, 3, 30, 25, 0)
    [problem] = headroom_problems(usage, 25)
    assert "the application holds 25 connections" in problem
    assert list(headroom_problems(usage, 26)) == []


@contextmanager
def blocked(database: Database) -> Iterator[tuple[int, int]]:
    """Two sessions, the second of which waits for the first; their process ids."""
    with (
        psycopg.connect(database.url, application_name="blocker") as blocker,
        psycopg.connect(database.url, application_name="waiter") as waiter,
    ):
        blocker.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        waiting = threading.Thread(
            target=waiter.execute, args=("LOCK TABLE users IN ACCESS SHARE MODE",)
        )
        waiting.start()
        try:
            yield blocker.info.backend_pid, waiter.info.backend_pid
        finally:
            blocker.rollback()
            waiting.join()
