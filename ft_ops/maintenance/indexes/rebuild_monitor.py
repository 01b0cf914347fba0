"""Watches a rebuild from beside it: its progress, and how the application fares meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import class_row

from ft_ops.pg.application import Canary
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

SECONDS_BETWEEN_LOOKS: Final = 0.5
_LOG_EVERY_SECONDS: Final = 15.0
# From here on the new index is in place: to stop now would only leave the old one behind.
_LAST_PHASES: Final = frozenset(
    {"waiting for readers before marking dead", "waiting for readers before dropping"}
)


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a rebuild; it ``is_waiting`` for another session's lock or transaction."""

    phase: str
    blocks_done: int
    blocks_total: int
    tuples_done: int
    tuples_total: int
    lockers_done: int
    lockers_total: int
    is_waiting: bool

    @property
    def may_be_stopped(self) -> bool:
        """Whether stopping undoes the rebuild, so that only its unfinished copy must be dropped."""
        return self.phase not in _LAST_PHASES

    def __str__(self) -> str:
        for done, total, what in (
            (self.blocks_done, self.blocks_total, "blocks"),
            (self.tuples_done, self.tuples_total, "tuples"),
            (self.lockers_done, self.lockers_total, "transactions to wait for"),
        ):
            if total:
                return f"{self.phase}: {done:,} of {total:,} {what}"
        return self.phase


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watch saw: whether it stopped the rebuild, and for how long that waited for others."""

    stopped: bool
    waited_seconds: float


def watch_rebuild(
    connection: Connection,
    pid: int,
    canary: Canary,
    *,
    is_done: Callable[[float], bool],
    stop: Callable[[], object],
    log: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Watched:
    """Look at the rebuild in the session ``pid`` until ``is_done``, which waits so many seconds.

    Calls ``stop`` once when the canary suffers in a phase that may be stopped.
    """
    stopped = told = False
    waited = 0.0
    last_phase, last_logged = "", clock()
    looked = clock()
    while not is_done(SECONDS_BETWEEN_LOOKS):
        suffers = canary.suffers(connection)
        progress = _progress(connection, pid)
        before, looked = looked, clock()
        if progress is None:
            continue
        if progress.is_waiting:
            waited += looked - before
        if progress.phase and (
            progress.phase != last_phase or clock() - last_logged >= _LOG_EVERY_SECONDS
        ):
            log(str(progress))
            last_phase, last_logged = progress.phase, clock()
        if suffers and not told:
            told, stopped = True, progress.may_be_stopped
            log(
                f"{'stopping' if stopped else 'too late to stop'}: the canary's last median is"
                f" above its limit in {progress.phase!r}"
            )
            if stopped:
                stop()
    return Watched(stopped, waited)


def _progress(connection: Connection, pid: int) -> Progress | None:
    """None where the server is too busy to tell: a look that is missed must not end the rebuild."""
    with connection.cursor(row_factory=class_row(Progress)) as cursor:
        try:
            cursor.execute(statement("maintenance/rebuild_progress"), {"pid": pid})
        except psycopg.errors.QueryCanceled:
            return None
        return cursor.fetchone()
