"""What each step of a month's life costs as the month grows: move, export, prove, freeze, purge.

And storage, recounted in full over all months at that point, which grow alike. Each month is made
of copies of the sample's first one under other ids, and lives its life once: what matters is how
cost follows rows, over a range in which repetitions differ by little. Months of a hundred times a
sample's, 15 million segments in a full run and some 30 GB of disk, are measured with
BENCH_SCALING_TIMES=1,3,10,100. Two months at once are exported by two processes, as by two runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from typing import Final

from bench._archive import PART_BYTES, RUN, ArchivedMonth, rely_on_a_backup
from bench._copies import copy_month
from bench.frame import BenchContext, Curve, Result, alternating, in_child, seconds, slope
from ft_ops.archive.export import ArchiveTarget, export_month
from ft_ops.archive.freeze import freeze_month
from ft_ops.archive.gates import PurgeRules
from ft_ops.archive.ledger import Generation, latest
from ft_ops.archive.move import move_month
from ft_ops.archive.proof import prove_month
from ft_ops.archive.purge import plan_purge, purge_month
from ft_ops.archive.throttle import Limits, Throttle
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import open_bucket
from ft_ops.storage import recompute_everything

TIMES: Final = "1,3,10"
DAYS: Final = 31
PREFIX: Final = "scaling"
RULES: Final = PurgeRules(enabled=True, grace=timedelta(0))
NO_LIMITS: Final = Limits(replication_lag_seconds=1e9, latency_ms=1e9, longest_pause_seconds=0)

STEPS: Final = {
    "move": "move a month to the archive's table",
    "export": "export a month",
    "prove": "prove a month",
    "freeze": "copy a month to its Glacier class",
    "purge": "purge a month",
    "storage": "storage, every month recounted",
}


@dataclass(slots=True)
class Life:
    """The seconds of each step, by size."""

    rows: list[int] = field(default_factory=list)
    rows_in_all: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})

    def time(self, step: str, took: float) -> None:
        self.seconds[step].append(took)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template()
    times = [int(t) for t in os.environ.get("BENCH_SCALING_TIMES", TIMES).split(",")]
    months = _months_before(template.first, len(times))
    life = Life()
    in_all = 0
    with context.clone(template) as url:
        for month, n, numbers in zip(months, times, accumulate(times), strict=True):
            context.log(f"a month of {n} times the rows")
            copy_month(url, template.first, month, range(numbers - n, numbers))
            life.rows.append(n * template.segments_per_month)
            in_all += life.rows[-1]
            life.rows_in_all.append(in_all + context.sizes.segments)
            life.time("storage", _recount(url))
        for month, rows in zip(months, life.rows, strict=True):
            context.log(f"the life of {rows:,} segments")
            _live(context, url, month, life)
    yield from _results(life)
    yield _two_at_once(context)


def export(url: str, bucket: str, month: str) -> None:
    """In a process of its own."""
    with connect(url, application="bench") as connection:
        ArchivedMonth(connection, url, open_bucket(bucket), Month.parse(month)).export()


def _months_before(first: Month, number: int) -> list[Month]:
    """The months of 31 days before ``first``, like it, so that a copy fills them alike."""
    found: list[Month] = []
    month = first
    while len(found) < number:
        month = month.plus(-1)
        if (month.end - month.start).days == DAYS:
            found.append(month)
    return found


def _recount(url: str) -> float:
    with connect(url, application="bench") as connection:
        return seconds(
            lambda: recompute_everything(
                connection, lambda: connect(url, application="bench"), readers=2, run_id=RUN
            )
        )


def _live(context: BenchContext, url: str, month: Month, life: Life) -> None:
    target = ArchiveTarget(context.bucket, PREFIX, PART_BYTES)
    with connect(url, application="bench") as connection:
        life.time("move", seconds(lambda: move_month(connection, month, run_id=RUN)))
        generation = partial(_generation, connection, month)
        for step, act in (
            ("export", lambda: export_month(connection, url, target, generation(), run_id=RUN)),
            ("prove", lambda: prove_month(connection, url, target, generation(), run_id=RUN)),
            (
                "freeze",
                lambda: freeze_month(
                    connection,
                    context.bucket,
                    PREFIX,
                    generation(),
                    storage_class="DEEP_ARCHIVE",
                    run_id=RUN,
                ),
            ),
        ):
            life.time(step, seconds(act))
        rely_on_a_backup(connection, month)
        life.time("purge", seconds(lambda: _purge(context, connection, generation())))


def _purge(context: BenchContext, connection: Connection, generation: Generation) -> None:
    plan = plan_purge(connection, context.bucket, generation, RULES, datetime.now(UTC))
    throttle = Throttle(connection, NO_LIMITS, lambda line: None)
    purge_month(connection, plan, throttle, run_id=RUN)


def _generation(connection: Connection, month: Month) -> Generation:
    found = latest(connection, month)
    assert found is not None, f"{month} was not moved"
    return found


def _results(life: Life) -> Iterator[Result]:
    for step, work in STEPS.items():
        rows: Sequence[int] = life.rows_in_all if step == "storage" else life.rows
        took = life.seconds[step]
        yield Result(
            name=f"scaling_{step}",
            work=f"{work}: growth of time with rows, as an exponent",
            against="",
            unit="",
            ours=slope(rows, took),
            goal=None,
            n=1,
            spread=0.0,
            size=f"{rows[0]:,} to {rows[-1]:,} segments",
            curves=(Curve(step, "segments", "seconds", tuple(map(float, rows)), tuple(took)),),
            note=", ".join(f"{n:,}: {s:.2f} s" for n, s in zip(rows, took, strict=True)),
        )


def _two_at_once(context: BenchContext) -> Result:
    template = context.template()
    months = [template.first, template.first.plus(1)]
    with context.clone(template) as url:
        calls = [partial(in_child, export, url, context.bucket.name, m.key) for m in months]
        with connect(url, application="bench") as connection:
            for month in months:
                move_month(connection, month, run_id=RUN)

        def again() -> None:
            with connect(url, application="bench") as connection:
                for month in months:
                    ArchivedMonth(connection, url, context.bucket, month).begin_again()

        def together() -> float:
            again()
            with ThreadPoolExecutor(len(calls)) as pool:
                return seconds(lambda: list(pool.map(lambda call: call(), calls)))

        def in_turn() -> float:
            again()
            return seconds(lambda: [call() for call in calls])

        found = alternating(
            {"together": together, "in turn": in_turn},
            repetitions=context.sizes.repetitions,
            warm_ups=0,
        )
    return Result.comparing(
        found["together"],
        found["in turn"],
        name="scaling_two_months_at_once",
        work="export two months at once",
        against="one after the other",
        goal=None,
        size=template.size,
    )
