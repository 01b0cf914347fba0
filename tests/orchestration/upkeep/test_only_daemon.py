"""One daemon runs on a storage: the second waits, and a lock that nobody uses stops none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from dagster_postgres import PostgresRunStorage
from sqlalchemy import text

from ft_ops.orchestration.upkeep import only_daemon
from ft_ops.orchestration.upkeep.only_daemon import hold_turn, wait_for_turn

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


@contextmanager
def daemon(storage: PostgresRunStorage) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Whether it has its turn, and whether it was told to end."""
    turn, ended, done = threading.Event(), threading.Event(), threading.Event()
    holder = threading.Thread(target=hold_turn, args=(storage, turn, done, ended.set))
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


@pytest.mark.parametrize(("silent_for", "waits"), [(200.0, True), (400.0, False)])
def test_a_lock_that_nobody_uses_stops_no_daemon(
    storage: PostgresRunStorage,
    deployed_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    silent_for: float,
    waits: bool,
) -> None:
    """A pooler may keep the session of a daemon that is gone."""
    monkeypatch.setattr(only_daemon, "FORSAKEN_SECONDS", 0.2 if not waits else 300.0)
    beat = DaemonHeartbeat(time.time() - silent_for, "SENSOR", "1", None)
    deployed_instance.add_daemon_heartbeat(beat)
    turn, said = threading.Event(), list[str]()
    waiting = threading.Thread(
        target=wait_for_turn, args=(deployed_instance, turn), kwargs={"say": said.append}
    )
    waiting.start()
    waiting.join(2)
    assert waiting.is_alive() == waits
    turn.set()
    waiting.join(10)
    assert said[0] == "another Dagster daemon runs on this storage: it waits for its end"
