"""How many rows a step takes at once, so that nobody waits long for the locks that it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from ft_ops.pg.connect import Connection

AIM_SECONDS = 0.03
"""For so long a step keeps its locks, as far as can be told by the step before."""

LIMIT_MS = 60
"""A statement that takes longer is given up, and its rows are taken in smaller parts."""

FEW = 50
"""Rows that are not divided any further, however long they take: some progress has to be made."""


class TooLong(Exception):
    """A step has kept its locks for too long, and nothing of it was done."""


@dataclass(slots=True)
class Portion:
    """Few rows at first, then as many as take AIM_SECONDS, and never more than ``most``."""

    most: int
    clock: Callable[[], float] = time.monotonic
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = self._few

    @property
    def _few(self) -> int:
        return min(FEW, self.most)

    @contextmanager
    def locked(self, connection: Connection, rows: int) -> Iterator[None]:
        """What takes locks of ``rows`` rows and keeps them, at the end of an open transaction.

        TooLong when a statement took longer than it may. No time-out is left for the COMMIT: one
        that ended its wait for a replica would leave it committed here alone.
        """
        is_limited = rows > self._few
        if is_limited:
            connection.execute(f"SET LOCAL statement_timeout = '{LIMIT_MS}ms'")
        began = self.clock()
        try:
            yield
        except psycopg.errors.QueryCanceled as error:
            # Before, it was somebody else who ended it.
            if is_limited and self.clock() - began >= LIMIT_MS / 1000:
                raise TooLong from error
            raise
        took = self.clock() - began
        if is_limited:
            connection.execute("SET LOCAL statement_timeout = 0")
        fit = int(rows * AIM_SECONDS / took) if took > 0 else self.most
        self.rows = max(self._few, min(self.most, 2 * self.rows, fit))

    def halve(self, rows: int) -> bool:
        """Take half of these next time; False when they are few already."""
        if rows <= self._few:
            return False
        self.rows = max(self._few, rows // 2)
        return True
