"""Runs Dagster's daemon, and no second one beside it on the same storage.

Two daemons evaluate the same ticks, so that a job is launched twice. The first one holds an
advisory lock in Dagster's database; the next one waits, and goes on when the first has ended. From
one that has stopped to work, such as on a machine that is frozen, it takes the lock away: when
that one wakes up, it finds that, and ends.
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
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from ft_ops.orchestration.upkeep.condition import (
    STORAGE_ERRORS,
    DagsterInstance,
    dagster_instance,
    unreachable,
)
from ft_ops.pg.sqlfiles import statement

TRIED_AGAIN_SECONDS: Final = 5.0
FORSAKEN_SECONDS: Final = 300.0
"""So long without a new heartbeat nobody runs, whoever holds the lock."""
_LAST_SECONDS: Final = 30.0
"""For the daemon to end in order, once another one has the lock."""

_ANOTHER_RUNS: Final = "another Dagster daemon runs on this storage: it waits for its end"
_NOTICE_A_LOST_POWER: Final = text(
    "SELECT set_config('tcp_keepalives_idle', '60', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '6', false)"
)

Say = Callable[[str], None]


def run_only_daemon(arguments: Sequence[str]) -> None:
    """Be Dagster's daemon until a signal ends it. ``arguments`` are those of dagster-daemon run."""
    # As the first process of a container it would wait on: there only a handler ends anything.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with dagster_instance() as instance:
        storage = instance.run_storage
        if isinstance(storage, PostgresRunStorage):
            turn = threading.Event()
            threading.Thread(
                target=hold_turn,
                args=(storage, turn, threading.Event(), _end_this_process, _say),
                name="only daemon",
                daemon=True,
            ).start()
            wait_for_turn(instance, storage, turn, _say)
    # Outside of the instance: what the daemon fails on is not told as a failure of the storage.
    [program] = entry_points(group="console_scripts", name="dagster-daemon")
    sys.argv = ["dagster-daemon", "run", *arguments]
    program.load()()


def wait_for_turn(
    instance: DagsterInstance, storage: PostgresRunStorage, turn: threading.Event, say: Say
) -> None:
    """Return when no other daemon runs: when ``turn`` is set, or there is no lock to wait for.

    Whether another one runs is not judged by the time of its beats, which another machine's clock
    has given, but by whether new ones come while this one waits.
    """
    beats, since = _beats(instance), time.monotonic()
    while not turn.wait(TRIED_AGAIN_SECONDS):
        seen = _beats(instance)
        if seen is None or seen != beats:
            beats, since = seen, time.monotonic()
        elif time.monotonic() - since > FORSAKEN_SECONDS:
            if not _took_away(storage, say):
                say("no daemon has beaten for minutes, and its lock can't be had: this one begins")
                return
            since = time.monotonic()


def hold_turn(
    storage: PostgresRunStorage,
    turn: threading.Event,
    done: threading.Event,
    end: Callable[[], None],
    say: Say,
) -> None:
    """Take the lock, set ``turn`` then, and keep it until ``done``.

    Calls ``end`` when another session has the lock since. The session that took it for us may go
    on without our connection: until the server has noticed a cut, or in a pooler.
    """
    ours: str | None = None
    said = ""
    while not done.is_set():
        try:
            with storage.connect() as connection:
                connection.execute(_NOTICE_A_LOST_POWER)
                while not done.is_set():
                    name, is_taken = _holder(connection)
                    if is_taken:
                        ours = name
                        turn.set()
                    elif name is not None and ours is not None and name != ours:
                        end()
                        return
                    elif name is not None and ours is None:
                        said = _said(say, said, _ANOTHER_RUNS)
                    done.wait(TRIED_AGAIN_SECONDS)
        except STORAGE_ERRORS as error:
            said = _said(say, said, str(unreachable(error)))
            done.wait(TRIED_AGAIN_SECONDS)


def _holder(connection: Connection) -> tuple[str | None, bool]:
    """Which session holds the lock, and whether it has only just been taken, by this one."""
    row = connection.execute(_statement("hold_daemons_lock")).first()
    # None: another one has taken it between the look and the try.
    return (None, False) if row is None else (str(row[0]), bool(row[1]))


def _took_away(storage: PostgresRunStorage, say: Say) -> bool:
    """End the session that holds the lock; whether there was one that could be ended."""
    try:
        with storage.connect() as connection:
            ended = connection.execute(_statement("take_daemons_lock_away")).scalars().all()
    except SQLAlchemyError as error:
        say(str(unreachable(error)))
        return False
    if any(ended):
        say("no daemon has beaten for minutes: its lock is taken away from it")
    return any(ended)


def _beats(instance: DagsterInstance) -> dict[str, tuple[str | None, float]] | None:
    """The newest beat of each daemon; None where they can't be read."""
    try:
        beats = instance.get_daemon_heartbeats()
    except STORAGE_ERRORS:
        return None
    return {name: (beat.daemon_id, beat.timestamp) for name, beat in beats.items()}


def _statement(name: str) -> TextClause:
    return text(statement(f"orchestration/{name}").as_string(None))


def _said(say: Say, before: str, line: str) -> str:
    if line != before:
        say(line)
    return line


def _say(line: str) -> None:
    click.echo(line, err=True)


def _end_this_process() -> None:
    _say("another Dagster daemon runs on this storage now: this one ends")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_SECONDS)
    os._exit(1)
