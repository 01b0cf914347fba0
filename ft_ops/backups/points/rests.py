"""The rests of a point's reading, which hashes every row of the database beside the application.

Its session has the priority of any other one of PostgreSQL's, and may have no lower one: whoever is
kept from a processor keeps what he holds in the server's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ft_ops.errors import explained
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import Pace, pace_beside_others


@dataclass(frozen=True, slots=True)
class RestLimits:
    """Beside others the reading takes no more than ``share`` of the time.

    Its snapshots keep what is deleted meanwhile from being vacuumed: the rests add up to
    ``longest_seconds`` at most, and what is left is read at full speed.
    """

    share: float
    longest_seconds: float


_LONGEST_AT_ONCE: Final = 1.0
"""Seconds. Who comes to wait for a table's lock during a rest waits for its end."""

NO_RESTS: Final = RestLimits(1.0, 0.0)


@dataclass(slots=True)
class Rests:
    """Of one point; ``seconds`` are those that it made so far."""

    limits: RestLimits = NO_RESTS
    seconds: float = 0.0

    def tell(self, log: Callable[[str], None]) -> None:
        """Of a point that was made: how long the application was left alone."""
        if self.seconds:
            log(f"rested {self.seconds:.1f} s in all while others were at work")

    def pace(
        self,
        connection: Connection,
        readers: Sequence[int],
        *,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> Pace:
        """The pace of sessions that are told by their process ids; ``connection`` is a third one.

        A table is locked against DDL while it is read: nobody rests while that is waited for.
        """
        share, longest = self.limits.share, self.limits.longest_seconds
        beside = pace_beside_others(connection, share, holders=readers, clock=clock)

        def rest(seconds: float) -> None:
            seconds = min(seconds, _LONGEST_AT_ONCE, longest - self.seconds)
            self.seconds += seconds
            sleep(seconds)

        def is_due() -> bool:
            # Asked while a table is read, in another session: no error of the table's.
            with explained("rests of a restore point"):
                return self.seconds < longest and beside.is_beside_others()

        return Pace(is_due, share, rest, clock)
