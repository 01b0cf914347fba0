"""What each step of a month's life costs as the month grows: move, export, prove, freeze.

Each month is made of copies of a part of the sample's first month under other ids. Each goes
through the steps once: what matters is how the cost grows with the rows, and repetitions differ by
little beside that. Export, proof and purge run in processes of their own. Their largest resident
size is what the kernel reports, and includes some 170 MB of imports. The processors' time of a step
is that of PostgreSQL and of our own processes, without the S3 server's: it tells more than the
clock on a machine that does other things too.

BENCH_SCALING_PURGE=1 purges the months too, which takes about as long as everything else. With
BENCH_SCALING_TIMES=1,3,10,150 the largest month has 15 million segments in a full run, and takes
some 30 GB of disk.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final

from bench._archive import ArchivedMonth, bench_run, rely_on_a_backup
from bench._copies import copy_month
from bench.frame import BenchContext, Curve, Result, in_child, seconds
from bench.frame.profile import core_seconds
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import latest
from ft_ops.archive.move.move import move_month
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.purge.throttle import throttle_of
from ft_ops.archive.store.freeze import freeze_month
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import open_bucket

ROWS: Final = 100_000
QUICK_ROWS: Final = 5_000
TIMES: Final = "1,3,10"
QUICK_TIMES: Final = "1,3"
DAYS: Final = 31

STEPS: Final = {
    "move": "move a month to the archive's table",
    "export": "export a month",
    "prove": "prove a month",
    "freeze": "copy a month to its Glacier class",
    "purge": "purge a month",
}

IN_CHILDREN: Final = ("export", "prove", "purge")
"""Steps in processes of their own, whose memory is measured."""

WHY_PURGES_GROW: Final = (
    "A batch takes neighbours in the order of ids, which lie together in the indexes by id and "
    "anywhere in the tables: by EXPLAIN (ANALYZE, BUFFERS) the comparison of 2,000 segments "
    "reads some 1,900 pages of the month's table, and in a month of 3 million five sixths of "
    "its time are reads. Past the sandbox's shared_buffers of 256 MB a purge reads 1.3 pages "
    "for each segment of a month of 300,000, 1.6 of a million and 2.3 of 3 million; the "
    "sessions' processor time is 72, 70 and 97 µs a segment. With shared_buffers of 8 GB, which "
    "hold both, a purge of 3 million took 184 core-seconds and one of a million 55, beside other "
    "work: an exponent of 1.10"
)

GROWTH_GOAL: Final = 1.05
MEMORY_GOAL: Final = 1.1
MEMORY_GOAL_MEGABYTES: Final = 500.0
MEGABYTE: Final = 1e6


@dataclass(slots=True)
class Life:
    """The seconds of each step, and the largest resident bytes of three of them, by size."""

    rows: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})
    core_seconds: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in STEPS})
    peak_bytes: dict[str, list[int]] = field(default_factory=lambda: {s: [] for s in IN_CHILDREN})

    @contextmanager
    def counted(self, context: BenchContext, step: str) -> Iterator[list[float]]:
        """Note what the block put into a list: how long the step took, and the processors' time."""
        took: list[float] = []
        before = _core_seconds(context)
        yield took
        self.core_seconds[step].append(_core_seconds(context) - before)
        self.seconds[step] += took
        context.log(f"{step}: {took[0]:.1f} s, {self.core_seconds[step][-1]:.1f} core-seconds")


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    rows = QUICK_ROWS if context.is_quick else ROWS
    default = QUICK_TIMES if context.is_quick else TIMES
    times = [int(t) for t in os.environ.get("BENCH_SCALING_TIMES", default).split(",")]
    purges = os.environ.get("BENCH_SCALING_PURGE") == "1"
    months = _months_before(template.first, len(times))
    life = Life()
    with context.clone(template) as url:
        for month, n, numbers in zip(months, times, accumulate(times), strict=True):
            context.log(f"a month of {n} times the rows")
            copy_month(url, template.first, rows, month, range(numbers - n, numbers))
            life.rows.append(n * rows)
        for month, segments in zip(months, life.rows, strict=True):
            context.log(f"the life of {segments:,} segments")
            _live(context, url, month, life)
            if purges:
                _in_child(context, url, month, life, "purge", purge)
        yield from _results(life)
        for step in IN_CHILDREN:
            if life.peak_bytes[step]:
                yield from _memory(step, life)


def export(url: str, bucket: str, month: str) -> None:
    """In a process of its own."""
    with connect(url, application="bench") as connection:
        ArchivedMonth(connection, url, open_bucket(bucket), Month.parse(month)).export()


def prove(url: str, bucket: str, month: str) -> None:
    """In a process of its own."""
    with connect(url, application="bench") as connection:
        ArchivedMonth(connection, url, open_bucket(bucket), Month.parse(month)).prove()


def purge(url: str, bucket: str, month: str) -> None:
    """In a process of its own."""
    with connect(url, application="bench") as connection:
        run = bench_run(connection, url, open_bucket(bucket))
        rely_on_a_backup(connection, Month.parse(month))
        plan = plan_purge(run, _generation(connection, Month.parse(month)))
        purge_month(run, plan, throttle_of(run))


def _months_before(first: Month, number: int) -> list[Month]:
    """The months of 31 days before ``first``, like it, so that a copy fills them alike."""
    found: list[Month] = []
    month = first
    while len(found) < number:
        month = month.plus(-1)
        if (month.end - month.start).days == DAYS:
            found.append(month)
    return found


def _live(context: BenchContext, url: str, month: Month, life: Life) -> None:
    with connect(url, application="bench") as connection:
        run = bench_run(connection, url, context.bucket)
        with life.counted(context, "move") as took:
            took.append(seconds(lambda: move_month(run, month)))
        for step, function in (("export", export), ("prove", prove)):
            _in_child(context, url, month, life, step, function)
        with life.counted(context, "freeze") as took:
            took.append(seconds(lambda: freeze_month(run, _generation(connection, month))))


def _core_seconds(context: BenchContext) -> float:
    """What PostgreSQL, this process and its children that have ended have spent so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = core_seconds(context.sandbox.server)
    ours = sum(s for who, s in spent.items() if who not in {"pgbench", "the S3 server"})
    return ours + ended.ru_utime + ended.ru_stime


def _in_child(
    context: BenchContext,
    url: str,
    month: Month,
    life: Life,
    step: str,
    function: Callable[[str, str, str], None],
) -> None:
    with life.counted(context, step) as took:
        report = in_child(function, url, context.bucket.name, month.key)
        took.append(report.seconds)
    life.peak_bytes[step].append(report.peak_bytes)


def _generation(connection: Connection, month: Month) -> Generation:
    found = latest(connection, month)
    assert found is not None, f"{month} was not moved"
    return found


def _results(life: Life) -> Iterator[Result]:
    for step, work in STEPS.items():
        if took := life.seconds[step]:
            by_clock = Result.growing(
                dict(zip(life.rows, took, strict=True)),
                name=f"scaling_{step}",
                work=work,
                unit="segments",
                goal=GROWTH_GOAL,
            )
            reason = WHY_PURGES_GROW if step == "purge" else ""
            yield replace(by_clock, reason=reason)
            spent = Result.growing(
                dict(zip(life.rows, life.core_seconds[step], strict=True)),
                name=f"scaling_{step}_cores",
                work=work,
                unit="segments",
                goal=GROWTH_GOAL,
            )
            named = f"{work}: growth of the processors' time with segments, as an exponent"
            yield replace(spent, work=named, curves=(), reason=reason)


def _memory(step: str, life: Life) -> Iterator[Result]:
    """Of the largest month against the smallest, and by itself."""
    megabytes = [peak / MEGABYTE for peak in life.peak_bytes[step]]
    work = f"{STEPS[step]}: memory at {life.rows[-1]:,} segments"
    result = Result(
        name=f"scaling_memory_{step}",
        work=work,
        against=f"{life.rows[0]:,} segments",
        unit="MB",
        ours=megabytes[-1],
        reference=megabytes[0],
        goal=MEMORY_GOAL,
        n=1,
        spread=0.0,
        size=f"{life.rows[0]:,} to {life.rows[-1]:,} segments",
        curves=(
            Curve(
                step,
                "segments",
                "largest resident size, MB",
                tuple(map(float, life.rows)),
                tuple(megabytes),
            ),
        ),
    )
    yield result
    yield replace(
        result,
        name=f"{result.name}_limit",
        against="",
        reference=None,
        goal=MEMORY_GOAL_MEGABYTES,
        curves=(),
    )
