"""What an export and a proof cost at one, three and ten times the rows: memory and time.

Each runs in a process of its own, whose largest resident size is the kernel's count, some 170 MB
of imports included. The larger months are copies of the first one's rows under other ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median

from bench._archive import RUN, ArchivedMonth
from bench._copies import copy_month
from bench.frame import BenchContext, ChildReport, Curve, Result, in_child, slope
from ft_ops.archive.move import move_month
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.s3.bucket import open_bucket

TIMES = (1, 3, 10)
MEGABYTE = 1e6
MEMORY_GOAL_MEGABYTES = 500


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step cost at each size, by repetition."""

    work: str
    reports: list[list[ChildReport]] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        return [median(report.seconds for report in reports) for reports in self.reports]

    @property
    def megabytes(self) -> list[float]:
        return [
            median(report.peak_bytes for report in reports) / MEGABYTE for reports in self.reports
        ]


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template()
    months = [template.first.plus(-times) for times in TIMES]
    costs = {"export": Cost("export a month"), "prove": Cost("prove a month")}
    with context.clone(template) as url:
        for month, times, numbers in zip(months, TIMES, accumulate(TIMES), strict=True):
            context.log(f"{times} times the rows")
            copy_month(url, template.first, month, range(numbers - times, numbers))
            with connect(url, application="bench") as connection:
                move_month(connection, month, run_id=RUN)
        for month, times in zip(months, TIMES, strict=True):
            context.log(f"exporting and proving {times} times the rows")
            measured = _measure(context, url, month, 2 if context.is_quick else 3)
            for cost, reports in zip(costs.values(), zip(*measured, strict=True), strict=True):
                cost.reports.append(list(reports))
    rows = [times * template.segments_per_month for times in TIMES]
    for name, cost in costs.items():
        yield from _results(name, cost, rows)


def export(url: str, bucket: str, month: str) -> None:
    """In a process of its own."""
    with connect(url, application="bench") as connection:
        ArchivedMonth(connection, url, open_bucket(bucket), Month.parse(month)).export()


def prove(url: str, bucket: str, month: str) -> None:
    """In a process of its own."""
    with connect(url, application="bench") as connection:
        ArchivedMonth(connection, url, open_bucket(bucket), Month.parse(month)).prove()


def _measure(
    context: BenchContext, url: str, month: Month, repetitions: int
) -> list[tuple[ChildReport, ChildReport]]:
    values = (url, context.bucket.name, month.key)
    found = []
    for _ in range(repetitions):
        with connect(url, application="bench") as connection:
            ArchivedMonth(connection, url, context.bucket, month).begin_again()
        found.append((in_child(export, *values), in_child(prove, *values)))
    return found


def _results(name: str, cost: Cost, rows: Sequence[int]) -> Iterator[Result]:
    one, *_, ten = cost.megabytes
    repetitions = len(cost.reports[-1])
    largest = [report.peak_bytes / MEGABYTE for report in cost.reports[-1]]
    spread = (max(largest) - min(largest)) / ten
    size = f"{rows[0]:,} to {rows[-1]:,} segments in the month"
    xs = tuple(float(n) for n in rows)
    yield Result(
        name=f"archive_memory_{name}",
        work=f"{cost.work}: memory at {rows[-1]:,} segments",
        against=f"{rows[0]:,} segments",
        unit="MB",
        ours=ten,
        reference=one,
        goal=1.2,
        n=repetitions,
        spread=spread,
        size=size,
        curves=(
            Curve(
                name,
                "segments in the month",
                "largest resident size, MB",
                xs,
                tuple(cost.megabytes),
            ),
        ),
    )
    yield Result(
        name=f"archive_memory_{name}_limit",
        work=f"{cost.work}: memory at {rows[-1]:,} segments",
        against="",
        unit="MB",
        ours=ten,
        goal=MEMORY_GOAL_MEGABYTES,
        n=repetitions,
        spread=spread,
        size=size,
    )
    yield Result(
        name=f"archive_growth_{name}",
        work=f"{cost.work}: growth of time with rows, as an exponent",
        against="",
        unit="",
        ours=slope(rows, cost.seconds),
        goal=1.1,
        n=repetitions,
        spread=0.0,
        size=size,
        curves=(Curve(name, "segments in the month", "seconds", xs, tuple(cost.seconds)),),
    )
