"""Runs Dagster's daemon, and no second one beside it on the same storage.

Two daemons evaluate the same ticks, so that a job is launched twice. The first one holds an
advisory lock in Dagster's database; the next one waits, and goes on when the first has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Final

import click
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Connection, text

from ft_ops.orchestration.upkeep.condition import (
    STORAGE_ERRORS,
    DagsterInstance,
    dagster_instance,
)

TRIED_AGAIN_SECONDS: Final = 5.0
FORSAKEN_SECONDS: Final = 300.0
"""So long after the last heartbeat nobody runs: the lock is left over, such as by a pooler."""
_LAST_SECONDS: Final = 30.0
"""For the daemon to end in order, once another one has the lock."""

_TAKE: Final = text("SELECT pg_try_advisory_lock(hashtextextended('ft-ops dagster daemon', 0))")
_NOTICE_A_LOST_POWER: Final = text(
    "SELECT set_config('tcp_keepalives_idle', '60', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '6', false)"
)


def run_only_daemon(arguments: Sequence[str]) -> None:
    """Be Dagster's daemon until a signal ends it. ``arguments`` are those of dagster-daemon run."""
    with dagster_instance() as instance:
        storage = instance.run_storage
        if isinstance(storage, PostgresRunStorage):
            turn = threading.Event()
            threading.Thread(
                target=hold_turn,
                args=(storage, turn, threading.Event(), _end_this_process),
                name="only daemon",
                daemon=True,
            ).start()
            wait_for_turn(instance, turn, say=lambda line: click.echo(line, err=True))
        [program] = entry_points(group="console_scripts", name="dagster-daemon")
        sys.argv = ["dagster-daemon", "run", *arguments]
        program.load()()


def wait_for_turn(
    instance: DagsterInstance, turn: threading.Event, *, say: Callable[[str], None]
) -> None:
    """Return when no other daemon runs: when ``turn`` is set, or nothing beats any more."""
    began = time.time()
    is_told = False
    while not turn.wait(TRIED_AGAIN_SECONDS):
        if time.time() - max(began, _last_beat(instance)) > FORSAKEN_SECONDS:
            say("somebody holds the daemon's lock, and no daemon has beaten for minutes: it begins")
            return
        if not is_told:
            say("another Dagster daemon runs on this storage: it waits for its end")
            is_told = True


def hold_turn(
    storage: PostgresRunStorage,
    turn: threading.Event,
    done: threading.Event,
    end: Callable[[], None],
) -> None:
    """Take the lock, set ``turn`` then, and keep it until ``done``.

    Calls ``end`` when the connection was cut, and somebody else has the lock since.
    """
    while not done.is_set():
        try:
            with storage.connect() as connection:
                connection.execute(_NOTICE_A_LOST_POWER)
                while not _take(connection):
                    if turn.is_set():
                        end()
                        return
                    if done.wait(TRIED_AGAIN_SECONDS):
                        return
                turn.set()
                while not done.wait(TRIED_AGAIN_SECONDS):
                    connection.execute(text("SELECT 1"))
        except STORAGE_ERRORS:
            done.wait(TRIED_AGAIN_SECONDS)


def _take(connection: Connection) -> bool:
    return bool(connection.execute(_TAKE).scalar_one())


def _last_beat(instance: DagsterInstance) -> float:
    try:
        beats = instance.get_daemon_heartbeats().values()
    except STORAGE_ERRORS:
        return time.time()  # not known
    return max((beat.timestamp for beat in beats), default=0.0)


def _end_this_process() -> None:
    click.echo("another Dagster daemon runs on this storage now: this one ends", err=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_SECONDS)
    os._exit(1)
