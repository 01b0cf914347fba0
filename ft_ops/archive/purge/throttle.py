"""Pauses long work when the application or a replica suffers from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from ft_ops.archive.run import Limits, Run
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import pace_beside_others
from ft_ops.pg.sqlfiles import statement

_BASELINE_PROBES = 5

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
    _allowed_ms: float = field(init=False)
    _paused_seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        usual = median(self._latency_ms() for _ in range(_BASELINE_PROBES))
        self._allowed_ms = max(self.limits.latency_ms, 5 * usual)

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
        latency = self._latency_ms()
        if latency > self._allowed_ms:
            return f"a small query took {latency:.0f} ms, {self._allowed_ms:.0f} are allowed"
        row = self.connection.execute(statement("archive/replication_lag")).fetchone()
        lag = float(row[0]) if row is not None else 0.0
        if lag > self.limits.replication_lag_seconds:
            return f"a replica lags {lag:.0f} s behind"
        return None

    def _latency_ms(self) -> float:
        started = self.clock()
        self.connection.execute(statement("archive/canary")).fetchone()
        return (self.clock() - started) * 1000


def throttle_of(run: Run) -> Throttle:
    """What pauses a removal of this run."""
    return Throttle(run.connection, run.rules.limits, run.log, sleep=run.sleep)
