"""Waiting for locks, always with a time-out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import psycopg
from psycopg.rows import class_row

from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection, locked_now, takes_statements
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds a lock, since the beginning of its transaction or of itself.

    Or a prepared transaction, which has no process; its application is its name then. Of a
    partitioned table, ``partitions`` says which ones it holds.
    """

    pid: int | None
    role: str
    application: str
    since: datetime
    state: str = ""
    is_autovacuum: bool = False
    is_stranger: bool = False
    partitions: str = ""

    def __str__(self) -> str:
        since = f"since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        if self.partitions:
            since += f", in {self.partitions}"
        if self.pid is None:
            return f"prepared transaction {self.application} ({self.role}), {since}"
        name = f", {self.application}" if self.application else ""
        state = f", {self.state}" if self.state else ""
        return f"session {self.pid} ({self.role}{name}){state}, {since}"


ESCALATING_WAITS_MS: Sequence[int] = (20, 40, 60, *([80] * 27))
"""Waits for a lock, in milliseconds. Everybody who wants the table waits behind ours, so none is
longer than an application may notice."""

LONGEST_PAUSE_SECONDS = 1.0
"""Pauses between the attempts double up to this; they let the queue behind us drain."""


@contextmanager
def lock_timeout(connection: Connection, milliseconds: int) -> Iterator[None]:
    """Set the session's lock_timeout for a block, and put the old one back."""
    row = one_row(
        connection.execute(
            "WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS value)"
            " SELECT before.value, set_config('lock_timeout', %s, false) FROM before",
            (f"{milliseconds}ms",),
        )
    )
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

    def in_the_way() -> str:
        return locked_now(connection, also_read=True)

    return until_locked(what, attempt, waits_ms=waits_ms, sleep=sleep, in_the_way=in_the_way)


def until_locked(
    what: str,
    attempt: Callable[[int], T],
    *,
    waits_ms: Sequence[int],
    sleep: Callable[[float], None],
    in_the_way: Callable[[], str],
) -> T:
    """Call ``attempt`` with each wait in turn until it gets its lock; else an OpsError.

    ``in_the_way`` says who holds what, for that error. ``attempt`` sees to it itself that it waits
    no longer than its argument, in milliseconds, and leaves no transaction behind that is aborted.
    Where the server looks for deadlocks before that is over, it may end the one attempt by one.
    """
    pause = 0.05
    for number, wait in enumerate(waits_ms, start=1):
        try:
            return attempt(wait)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if number == len(waits_ms):
                raise OpsError(
                    what,
                    cause=f"no lock within {number} attempts of up to {wait} ms: {in_the_way()}",
                    next_step="wait for that session to end, or end it, then run again: what was "
                    "begun is finished by the next run",
                ) from error
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    raise AssertionError("waits_ms is empty")


@contextmanager
def only_one(connection: Connection, task: str) -> Iterator[None]:
    """Hold the advisory lock of ``task`` for a block; Refused, and by whom, when another has it.

    Not Refused, but an OpsError when that is no session of ours: whoever leaves the work to another
    run must not leave it to a stranger.

    Tried, never waited for: a session that waits in a blocking pg_advisory_lock holds a
    snapshot, and REINDEX CONCURRENTLY deadlocks with it.
    """
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"ft-ops {task}",)
    ).fetchone()
    if row is None or not row[0]:
        holder = advisory_holder(connection, name=f"ft-ops {task}")
        if holder is not None and holder.is_stranger:
            raise held_by_stranger(task, holder)
        raise Refused(
            task,
            cause=f"another run is at work on it: {holder or 'it ended a moment ago'}",
            next_step="wait for that run to end, then run again; a session that is no run of the "
            "operations is ended by pg_terminate_backend(its pid)",
        )
    try:
        yield
    finally:
        if takes_statements(connection):
            connection.execute(
                "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (f"ft-ops {task}",)
            )


def holders(connection: Connection, relation: str) -> list[Holder]:
    """Who holds a lock on a table or index that others may wait for; its name as SQL writes it."""
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(
            statement("pg/relation_lock_holders"), {"relation": relation}
        ).fetchall()


@contextmanager
def saying_who_holds(connection: Connection, relation: str) -> Iterator[None]:
    """For a block that needs a lock on ``relation``: when there is none, an OpsError names who.

    The block opens a transaction of its own, if any: the question is asked after its end.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        found = holders(connection, relation) if takes_statements(connection) else []
        by = ", ".join(str(holder) for holder in found) or "another session, which has ended since"
        raise OpsError(
            relation,
            cause=f"it is locked by {by}",
            next_step="wait for that session to end, or end it, then run again",
        ) from error


def advisory_holder(
    connection: Connection, *, name: str | None = None, key: int | None = None
) -> Holder | None:
    """Who else holds an advisory lock, by its number or by the name whose hash that is."""
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(
            statement("pg/advisory_lock_holder"), {"name": name, "key": key}
        ).fetchone()


def held_by_stranger(what: str, holder: Holder) -> OpsError:
    """What is said of a lock of ours that somebody has taken who is none of us."""
    end = (
        f"ROLLBACK PREPARED '{holder.application}'"
        if holder.pid is None
        else f"SELECT pg_terminate_backend({holder.pid})"
    )
    return OpsError(
        what,
        cause="the lock by which runs keep out of each other's way is held by somebody who is no "
        f"run of the operations: {holder}",
        next_step=f"ask that role's people why it takes our locks; as an administrator: {end}; "
        "then run again",
    )
