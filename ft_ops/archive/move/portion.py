"""How many rows a step takes at once, so that nobody waits long for the locks that it keeps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from ft_ops.pg.connect import Connection

AIM_SECONDS = 0.03
"""For so long a step keeps its locks, as far as can be told by the step before."""

LIMIT_MS = 60
"""A step of several rows that takes longer is given up, and they are taken in smaller parts.

One row with all that belongs to it is as little as can go at once, however long that takes.
"""

FEW = 50
"""So many rows the first step takes, of which nothing is known."""


class TooLong(Exception):
    """A step has kept its locks for too long, and nothing of it was done."""


@dataclass(slots=True)
class Portion:
    """Few rows at first, then as many as take AIM_SECONDS, and never more than ``most``."""

    most: int
    clock: Callable[[], float] = time.monotonic
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = min(FEW, self.most)

    @contextmanager
    def locked(self, connection: Connection, rows: int) -> Iterator[Callable[[], None]]:
        """What takes locks of ``rows`` rows and keeps them, at the end of an open transaction.

        It gives what to call before each statement but the first: all of them together have one
        limit. TooLong when they took longer. No time-out is left for the COMMIT: one that ended its
        wait for a replica would leave it committed here alone.
        """
        is_limited = rows > 1
        began = self.clock()

        def go_on() -> None:
            left = LIMIT_MS - 1000 * (self.clock() - began)
            if is_limited and left <= 0:
                raise TooLong
            if is_limited:
                # Rounded up: who is ended by it is found to have taken that long.
                connection.execute(f"SET LOCAL statement_timeout = '{math.ceil(left)}ms'")

        go_on()
        try:
            yield go_on
        except psycopg.errors.QueryCanceled as error:
            # Before, it was somebody else who ended it.
            if is_limited and self.clock() - began >= LIMIT_MS / 1000:
                raise TooLong from error
            raise
        took = self.clock() - began
        if is_limited:
            connection.execute("SET LOCAL statement_timeout = 0")
        fit = int(rows * AIM_SECONDS / took) if took > 0 else self.most
        self.rows = max(1, min(self.most, 2 * self.rows, fit))

    def halve(self, rows: int) -> bool:
        """Take half of these next time; False when it is one already."""
        if rows <= 1:
            return False
        self.rows = rows // 2
        return True
