"""What the application notices of a job: its latencies during it, against quiet ones of the run.

Quiet windows and windows with the job take turns under one load, and a quiet one comes last. What
is left over from a job is no quiet window's: each begins some seconds later. Each window with the
job is held against the two quiet ones beside it, since a machine drifts; what is reported is the
window whose ratio is the median.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bench.frame import BenchContext, Curve, Result, Samples
from bench.frame.load import PER_SECOND, ApplicationLoad, Window

GOAL: Final = 5.0
"""The most that a job may multiply the application's p99 by, where nothing stricter is asked."""

LOCK_WAIT_GOAL_MS: Final = 100.0
PERCENTILES: Final = (50, 75, 90, 95, 98, 99)

QUIET_SECONDS: Final = 10.0
_ENOUGH: Final = 20
"""Transactions, for a curve of their percentiles."""


@dataclass(frozen=True, slots=True)
class Job:
    """What disturbs: the name of its results, and how a sentence tells of it."""

    name: str
    during: str
    size: str
    goal: float | None = GOAL
    reason: str = ""

    @property
    def terms(self) -> str:
        return f"{self.size}; {PER_SECOND} transactions a second"


def warm_up(context: BenchContext) -> None:
    """Wait until the application's caches and plans are there."""
    time.sleep(1.0 if context.is_quick else 6.0)


def stay_quiet(
    context: BenchContext, load: ApplicationLoad, name: str, seconds: float = QUIET_SECONDS
) -> None:
    """Let the application work alone, in a window of that name, once it has caught up."""
    time.sleep(1.0 if context.is_quick else 2.0)
    with load.window(name):
        time.sleep(2.0 if context.is_quick else seconds)


def disturb(
    context: BenchContext,
    load: ApplicationLoad,
    work: Callable[[], object],
    *,
    repetitions: int,
    prepare: Callable[[], object] = lambda: None,
    name: str = "busy",
) -> tuple[list[str], list[str]]:
    """Do the work in windows of its own; the names of the quiet windows and of those.

    ``prepare`` comes before each quiet window, and is in none. A quick run does it all once.
    ``name`` tells the windows of several works under one load apart.
    """
    warm_up(context)
    quiet, busy = [], []
    for number in range(1, (1 if context.is_quick else repetitions) + 1):
        quiet.append(f"quiet before {name} {number}")
        busy.append(f"{name} {number}")
        prepare()
        stay_quiet(context, load, quiet[-1])
        with load.window(busy[-1]):
            work()
    quiet.append(f"quiet after {name}")
    prepare()
    stay_quiet(context, load, quiet[-1])
    return quiet, busy


def disturbance(
    job: Job,
    load: ApplicationLoad,
    quiet: Sequence[str],
    busy: Sequence[str],
    steps: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[Result]:
    """The p99 against the quiet one, the longest lock wait, the errors; after the load has ended.

    The spread is that of the ratios of all windows; of two in the middle the worse one is reported.
    ``steps`` names windows within the busy ones, by what was done in them. The profile is of who
    kept the processors busy meanwhile.
    """
    during, before = load.report(*busy), load.report(*quiet)
    pairs = sorted(
        (_Pair(load.report(one), load.report(*beside)) for one, beside in _beside(busy, quiet)),
        key=lambda pair: pair.ratio,
    )
    middle = pairs[len(pairs) // 2]
    yield Result(
        name=job.name,
        work=f"application {job.during}: p99",
        against="quiet p99",
        unit="ms",
        ours=middle.during.percentile(99),
        reference=middle.quiet.percentile(99),
        goal=job.goal,
        n=len(busy),
        spread=Samples(tuple(pair.ratio for pair in pairs)).spread,
        size=job.terms,
        curves=tuple(
            Curve(
                label,
                "percentile",
                "latency, ms",
                tuple(float(p) for p in PERCENTILES),
                tuple(window.percentile(p) for p in PERCENTILES),
            )
            for label, window in {
                "quiet": before,
                "busy": during,
                **{step: load.report(*windows) for step, windows in steps.items()},
            }.items()
            if len(window.latencies) >= _ENOUGH
        ),
        profile=load.spent(*busy),
        note=_told(during, before),
        reason=job.reason,
    )
    for suffix, what, value, unit, goal in (
        ("lock_wait", "longest lock wait", during.longest_lock_wait, "ms", LOCK_WAIT_GOAL_MS),
        ("errors", "errors", float(during.errors), "", 0.0),
    ):
        yield Result(
            name=f"{job.name}_{suffix}",
            work=f"application {job.during}: {what}",
            against="",
            unit=unit,
            ours=value,
            goal=goal,
            n=len(busy),
            spread=0.0,
            size=job.terms,
        )


@dataclass(frozen=True, slots=True)
class _Pair:
    """A window with the job, and the quiet ones beside it taken together."""

    during: Window
    quiet: Window

    @property
    def ratio(self) -> float:
        return self.during.percentile(99) / self.quiet.percentile(99)


def _beside(busy: Sequence[str], quiet: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Each busy window with the quiet ones beside it; all of them where they did not take turns."""
    take_turns = len(quiet) == len(busy) + 1
    for number, one in enumerate(busy):
        yield one, quiet[number : number + 2] if take_turns else quiet


def _told(during: Window, quiet: Window) -> str:
    together = during.percentile(99) / quiet.percentile(99)
    return (
        f"{together:.3g} × with all windows taken together; "
        f"{len(during.latencies):,} transactions in {during.seconds:.0f} s, "
        f"{len(quiet.latencies):,} quiet ones; {during.errors} errors; "
        f"longest lock wait {during.longest_lock_wait:.0f} ms, "
        f"{quiet.longest_lock_wait:.0f} ms when quiet"
    )
