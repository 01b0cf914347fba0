"""Waiting for locks, always with a time-out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import psycopg

from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection, takes_statements

T = TypeVar("T")

ESCALATING_WAITS_MS: Sequence[int] = (20, 40, 60, *([80] * 27))
"""Waits for a lock, in milliseconds. Everybody who wants the table queues behind ours, so none is
longer than an application may notice."""

LONGEST_PAUSE_SECONDS = 1.0
"""Pauses between the attempts double up to this; they let the queue behind us drain."""


@contextmanager
def lock_timeout(connection: Connection, milliseconds: int) -> Iterator[None]:
    """Set the session's lock_timeout for a block, and put the old one back."""
    row = connection.execute(
        "WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS value)"
        " SELECT before.value, set_config('lock_timeout', %s, false) FROM before",
        (f"{milliseconds}ms",),
    ).fetchone()
    assert row is not None
    try:
        yield
    finally:
        if takes_statements(connection):
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (row[0],))


def with_escalating_lock_timeout(
    connection: Connection,
    what: str,
    action: Callable[[], T],
    *,
    waits_ms: Sequence[int] = ESCALATING_WAITS_MS,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Run ``action`` with each wait in turn until it gets its lock; an OpsError when it never does.

    ``action`` opens a transaction of its own, or a savepoint in the caller's: an aborted
    transaction could not try again.
    """

    def attempt(wait_ms: int) -> T:
        with lock_timeout(connection, wait_ms):
            return action()

    return until_locked(what, attempt, waits_ms=waits_ms, sleep=sleep)


def until_locked(
    what: str,
    attempt: Callable[[int], T],
    *,
    waits_ms: Sequence[int],
    sleep: Callable[[float], None],
) -> T:
    """Call ``attempt`` with each wait in turn until it gets its lock; else an OpsError.

    ``attempt`` sees to it itself that it waits no longer than its argument, in milliseconds, and
    leaves no transaction behind that is aborted.
    """
    pause = 0.05
    for number, wait in enumerate(waits_ms, start=1):
        try:
            return attempt(wait)
        except psycopg.errors.LockNotAvailable as error:
            if number == len(waits_ms):
                raise OpsError(
                    what,
                    cause=f"no lock within {number} attempts of up to {wait} ms: {error}",
                    next_step="find the blocker with pg_blocking_pids() and run again: what was "
                    "begun is finished by the next run",
                ) from error
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    raise AssertionError("waits_ms is empty")


@contextmanager
def only_one(connection: Connection, task: str) -> Iterator[None]:
    """Hold the advisory lock of ``task`` for a block; Refused when another session has it.

    Tried, never waited for: a session that waits in a blocking pg_advisory_lock holds a
    snapshot, and REINDEX CONCURRENTLY deadlocks with it.
    """
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"ft-ops {task}",)
    ).fetchone()
    if row is None or not row[0]:
        raise Refused(
            task,
            cause="another run is at work on it",
            next_step="wait for that run to end, then run again",
        )
    try:
        yield
    finally:
        if takes_statements(connection):
            connection.execute(
                "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (f"ft-ops {task}",)
            )
