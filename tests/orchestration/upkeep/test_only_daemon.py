"""One daemon runs on a storage: the second waits, and a lock that nobody uses stops none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import OperationalError

from ft_ops.orchestration.upkeep import only_daemon
from ft_ops.orchestration.upkeep.only_daemon import hold_turn, wait_for_turn
from tests.fixtures.pgbouncer import needs_pgbouncer, pooled
from tests.fixtures.postgres import Database

CUT = text(
    "SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l JOIN pg_database AS d"
    " ON d.oid = l.database AND d.datname = current_database()"
    " WHERE l.locktype = 'advisory' AND l.granted"
)


@pytest.fixture
def storage(
    deployed_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> PostgresRunStorage:
    monkeypatch.setattr(only_daemon, "TRIED_AGAIN_SECONDS", 0.05)
    found = deployed_instance.run_storage
    assert isinstance(found, PostgresRunStorage)
    return found


def beat(instance: dg.DagsterInstance, moment: float) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(moment, "SENSOR", "1", None))


@contextmanager
def waiting(
    instance: dg.DagsterInstance, storage: PostgresRunStorage
) -> Iterator[tuple[threading.Event, list[str]]]:
    """A second daemon that waits: whether it begins, and what it said of the first."""
    begins, said = threading.Event(), list[str]()

    def wait(turn: threading.Event) -> None:
        wait_for_turn(instance, storage, turn, said.append)
        begins.set()

    with daemon(storage) as (turn, _):
        waiter = threading.Thread(target=wait, args=(turn,))
        waiter.start()
        try:
            yield begins, said
        finally:
            turn.set()
            waiter.join(10)


@contextmanager
def asleep(storage: PostgresRunStorage) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A daemon that has the lock and is frozen: what wakes it, and whether it was told to end."""
    wake, slept = threading.Event(), threading.Event()

    class Frozen:
        @contextmanager
        def connect(self) -> Iterator[object]:
            with storage.connect() as connection:
                yield _Sleeper(connection)

    class _Sleeper:
        def __init__(self, connection: Connection) -> None:
            self.connection, self.looks = connection, 0

        def execute(self, query: TextClause) -> object:
            self.looks += 1
            if self.looks > 2:
                slept.set()
                wake.wait(30)
            return self.connection.execute(query)

    with daemon(cast("PostgresRunStorage", Frozen())) as (turn, ended):
        assert turn.wait(10)
        assert slept.wait(10)
        try:
            yield wake, ended
        finally:
            wake.set()


@contextmanager
def cut_on_this_side(
    storage: PostgresRunStorage,
) -> Iterator[tuple[threading.Event, threading.Event, threading.Event]]:
    """Whether a daemon has its turn, was told to end, and has looked by a second connection."""
    left, again = list[Connection](), threading.Event()

    class Reset:
        @contextmanager
        def connect(self) -> Iterator[object]:
            if left:
                again.set()
                with storage.connect() as connection:
                    yield connection
                return
            connection = storage._engine.connect()
            left.append(connection)
            yield _Cut(connection)

    class _Cut:
        def __init__(self, connection: Connection) -> None:
            self.connection, self.looks = connection, 0

        def execute(self, query: TextClause) -> object:
            self.looks += 1
            if self.looks > 2:
                raise OperationalError("SELECT", None, ConnectionResetError())
            return self.connection.execute(query)

    with daemon(cast("PostgresRunStorage", Reset())) as (turn, ended):
        try:
            yield turn, ended, again
        finally:
            for connection in left:
                connection.close()


@contextmanager
def daemon(storage: PostgresRunStorage) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Whether it has its turn, and whether it was told to end."""
    turn, ended, done = threading.Event(), threading.Event(), threading.Event()
    holder = threading.Thread(target=hold_turn, args=(storage, turn, done, ended.set, print))
    holder.start()
    try:
        yield turn, ended
    finally:
        done.set()
        holder.join(10)


def test_the_second_daemon_begins_when_the_first_has_ended(storage: PostgresRunStorage) -> None:
    with daemon(storage) as (first, _):
        assert first.wait(10)
        with daemon(storage) as (second, _):
            assert not second.wait(0.5)
    with daemon(storage) as (next_one, _):
        assert next_one.wait(10)


def test_of_two_daemons_one_is_left_when_the_connections_are_cut(
    storage: PostgresRunStorage,
) -> None:
    with daemon(storage) as (first, ended):
        assert first.wait(10)
        with daemon(storage) as (second, _):
            for _ in range(100):
                # Whoever comes first holds it: the one that held it before, or the other one.
                with storage.connect() as connection:
                    connection.execute(CUT)
                if second.wait(0.1):
                    break
            assert second.is_set()
            assert ended.wait(10)


def test_a_daemon_s_own_session_that_the_server_still_keeps_ends_nobody(
    storage: PostgresRunStorage,
) -> None:
    """A cut that only this side has noticed: the server keeps the session for minutes."""
    with cut_on_this_side(storage) as (turn, ended, reconnected):
        assert turn.wait(10)
        assert reconnected.wait(10)
        assert not ended.wait(0.5)


@needs_pgbouncer
def test_through_a_pooler_one_daemon_has_its_turn(
    empty_database: Database, storage: PostgresRunStorage, tmp_path: Path
) -> None:
    """The pooler hands the session of the first to the second, which would be given its lock."""
    with pooled(empty_database, tmp_path, mode="transaction") as url:
        pooled_storage = PostgresRunStorage(url.replace("://", "+psycopg2://", 1), False)
        with daemon(pooled_storage) as (first, ended), daemon(pooled_storage) as (second, _):
            assert first.wait(10) or second.wait(10)
            time.sleep(0.5)
            assert first.is_set() != second.is_set()
            assert not ended.is_set()


def test_a_daemon_that_beats_is_waited_for_whatever_its_clock_says(
    storage: PostgresRunStorage,
    deployed_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(only_daemon, "FORSAKEN_SECONDS", 2.0)
    with daemon(storage) as (first, ended):
        assert first.wait(10)
        with waiting(deployed_instance, storage) as (second, said):
            began = time.monotonic()
            while time.monotonic() - began < 3:
                beat(deployed_instance, time.time() - 86_400.0)
                assert not second.wait(0.05)
            assert said == []
        assert not ended.is_set()


def test_from_one_that_beats_no_more_the_lock_is_taken_away_and_it_ends_when_it_wakes(
    storage: PostgresRunStorage,
    deployed_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frozen machine keeps its connections; a pooler keeps those of whoever is gone."""
    monkeypatch.setattr(only_daemon, "FORSAKEN_SECONDS", 0.3)
    beat(deployed_instance, time.time() + 86_400.0)
    with (
        asleep(storage) as (wake, ended),
        waiting(deployed_instance, storage) as (second, said),
    ):
        assert second.wait(10)
        assert said == ["no daemon has beaten for minutes: its lock is taken away from it"]
        wake.set()
        assert ended.wait(10)


def test_a_lock_that_can_t_be_had_stops_no_daemon(
    storage: PostgresRunStorage,
    deployed_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(only_daemon, "FORSAKEN_SECONDS", 0.2)
    said = list[str]()
    wait_for_turn(deployed_instance, storage, threading.Event(), said.append)
    assert said == ["no daemon has beaten for minutes, and its lock can't be had: this one begins"]
