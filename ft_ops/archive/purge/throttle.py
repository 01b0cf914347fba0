"""Pauses long work when the application or a replica suffers from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from ft_ops.archive.run import Limits, Run
from ft_ops.errors import OpsError
from ft_ops.pg.application import Canary, replica_lag
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import pace_beside_others

T = TypeVar("T")


@dataclass(slots=True)
class Throttle:
    """Watches a small query of the application's kind and the replicas' lag.

    The query may take ``latency_ms``, or five times what it took when the work began, whichever
    is more: a slow server stays slow without our doing.
    """

    connection: Connection
    limits: Limits
    log: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _canary: Canary = field(init=False)
    _paused_seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._canary = Canary(self.limits.latency_ms, samples=1, clock=self.clock)
        self._canary.settle_in(self.connection)

    def steps(self, items: Iterable[T]) -> Iterator[T]:
        """The items, each once nobody suffers, at the pace of work beside others."""

        def when_nobody_suffers() -> Iterator[T]:
            for item in items:
                self.wait()
                yield item

        pace = pace_beside_others(
            self.connection, self.limits.share_beside_others, sleep=self.sleep, clock=self.clock
        )
        return pace.steps(when_nobody_suffers())

    def wait(self) -> None:
        """Return once nobody suffers; an OpsError when the pauses add up to too much."""
        pause = 0.25
        while problem := self._problem():
            if self._paused_seconds + pause > self.limits.longest_pause_seconds:
                raise OpsError(
                    "throttled work",
                    cause=f"{problem}, after {self._paused_seconds:.0f} s of pauses",
                    next_step="nothing is half done; it goes on where it stopped in the next run",
                )
            self.log(f"pausing {pause:.2f} s: {problem}")
            self.sleep(pause)
            self._paused_seconds += pause
            pause = min(2 * pause, 8.0)

    def _problem(self) -> str | None:
        canary = self._canary
        if canary.suffers(self.connection):
            taken, allowed = canary.last_ms, canary.allowed_ms
            return f"a small query took {taken:.0f} ms, {allowed:.0f} are allowed"
        lag = replica_lag(self.connection).seconds
        if lag > self.limits.replication_lag_seconds:
            return f"a replica lags {lag:.0f} s behind"
        return None


def throttle_of(run: Run) -> Throttle:
    """What pauses a removal of this run."""
    return Throttle(run.connection, run.rules.limits, run.log, sleep=run.sleep)
