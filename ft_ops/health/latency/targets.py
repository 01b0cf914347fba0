"""Latencies against the targets: which screens are slow, and the first thing to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ft_ops.health.latency.diagnosis import LikelyCause, diagnose
from ft_ops.health.latency.measure import Latencies, Percentiles
from ft_ops.health.latency.plans import QueryPlan, explain
from ft_ops.health.latency.queries import PRODUCT_QUERIES, Screen
from ft_ops.pg.connect import Connection


@dataclass(frozen=True, slots=True)
class SlowQuery:
    """The slowest execution of one query, explained."""

    query: str
    took_ms: float
    plan: QueryPlan
    finding: LikelyCause


@dataclass(frozen=True, slots=True)
class ScreenResult:
    """One screen against its target; ``slow`` explains its queries, the likeliest cause first.

    That is the slowest query, but for one that took long only while the server was busy: a moment's
    wait must not hide what is wrong with another. ``is_cut``: so many executions were given up that
    the p95 may be anything above what it is, whatever the target says.
    """

    screen: Screen
    percentiles: Percentiles
    slow: tuple[SlowQuery, ...]
    is_cut: bool = False

    @property
    def met(self) -> bool:
        return not self.is_cut and self.percentiles.p95 < self.screen.target_ms

    @property
    def words(self) -> str:
        at_least = "at least " if self.is_cut else ""
        text = f"{self.screen.name}: p95 {at_least}{self.percentiles.p95:.1f} ms"
        if self.met:
            return f"{text} of {self.screen.target_ms:g}"
        first = self.slow[0]
        return f"{text}, target {self.screen.target_ms:g}; {first.query}: {first.finding.words}"


def judge(
    connection: Connection,
    latencies: Latencies,
    screens: Iterable[Screen],
    *,
    app_role: str,
    timeout_ms: int,
    now: datetime,
) -> list[ScreenResult]:
    """One result a screen; where its p95 misses the target, its queries are explained.

    An explanation that takes longer than ``timeout_ms`` is a plan that was not run.
    """
    results = []
    for screen in screens:
        percentiles = Percentiles.of(latencies.screen_times(screen))
        is_cut = latencies.is_cut(screen)
        result = ScreenResult(screen, percentiles, (), is_cut)
        if not result.met:
            slow = []
            for name in screen.queries:
                query, took = PRODUCT_QUERIES[name], max(latencies.times_ms[name])
                plan = explain(
                    connection,
                    query,
                    latencies.slowest(name),
                    app_role=app_role,
                    timeout_ms=timeout_ms,
                )
                finding = diagnose(connection, query, plan, took, now)
                slow.append(SlowQuery(name, took, plan, finding))
            slow.sort(key=lambda item: (item.finding.cause == "busy server", -item.took_ms))
            result = ScreenResult(screen, percentiles, tuple(slow), is_cut)
        results.append(result)
    return results
