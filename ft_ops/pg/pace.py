"""Lets the application go first: long work rests between its steps while others are at work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ft_ops.pg.application import is_waited_for, others_at_work
from ft_ops.pg.connect import Connection

T = TypeVar("T")

LONGEST_REST = 10.0
"""Seconds. The snapshot that an export reads stays open while it rests."""

ASKED_AGAIN_SECONDS = 0.1
"""An answer about others holds for so long: steps of milliseconds would be spent on asking."""

COMES_AGAIN_SECONDS = 60.0
"""Who waits for a lock by a short time-out is gone when it is asked again, and will be back."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Full speed alone; beside others, one step at a time, and no more than ``share`` of the time.

    A step is what can't be interrupted: a batch of rows that is written, loaded or removed. Rests
    follow from how long the steps took, so they are longer where the server is slower.
    """

    is_beside_others: Callable[[], bool]
    share: float
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def steps(self, items: Iterable[T]) -> Iterator[T]:
        """The items; after what was done to get and to use one, the rest that is due for it."""
        began = self.clock()
        for item in items:
            yield item
            self.rest_since(began)
            began = self.clock()

    def rest_since(self, began: float) -> None:
        """The rest that is due for what was done since that moment of the clock."""
        worked = self.clock() - began
        if self.share < 1 and self.is_beside_others():
            self.sleep(min(worked * (1 / self.share - 1), LONGEST_REST))


FULL_SPEED = Pace(lambda: False, 1.0)
"""Never rests: for what nobody works beside."""


def pace_beside_others(
    connection: Connection,
    share: float,
    *,
    holders: Sequence[int] = (),
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Pace:
    """Beside others is when a session other than the operations' worked within the last second.

    The connection is asked from whichever thread does a step: nothing else should occupy it then.
    ``holders`` are sessions that hold a lock while they rest: once anybody waits for one, nobody
    rests for ``COMES_AGAIN_SECONDS``.
    """
    asked, answer, hurried = -math.inf, False, -math.inf

    def is_beside_others() -> bool:
        nonlocal asked, answer, hurried
        if clock() - asked >= ASKED_AGAIN_SECONDS:
            asked = clock()
            if holders and is_waited_for(connection, holders):
                hurried = asked
            answer = asked - hurried >= COMES_AGAIN_SECONDS and others_at_work(connection)
        return answer

    return Pace(is_beside_others, share, sleep, clock)
