"""Storage use after one month changed, with seven years of hot months and with one year.

The months are smaller than elsewhere, so that what every run does for each month of the history
weighs more. From a copy all months but the last twelve are dropped; both databases are counted in
full once. Then, in turn, every thirty-second segment of the last month is edited and what changed
is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from psycopg import conninfo

from bench._storage import Subject
from bench.frame import BenchContext, Result, Samples, Template, alternating
from bench.frame.context import FIRST_MONTH
from ft_ops.months import Month
from ft_ops.pg.connect import connect

MONTHS: Final = 84
A_YEAR: Final = 12
SEGMENTS: Final = 20_000
QUICK_SEGMENTS: Final = 500
FAMILIES: Final = 10_000
QUICK_FAMILIES: Final = 200
GOAL: Final = 1.25


def run(context: BenchContext) -> Iterator[Result]:
    sizes = replace(
        context.sizes,
        months=MONTHS,
        segments_per_month=QUICK_SEGMENTS if context.is_quick else SEGMENTS,
        families=QUICK_FAMILIES if context.is_quick else FAMILIES,
    )
    last = FIRST_MONTH.plus(MONTHS - 1)
    with context.sample_database(sizes) as long_url:
        name = conninfo.conninfo_to_dict(long_url)["dbname"]
        copied = Template(str(name), long_url, FIRST_MONTH, last, sizes.segments_per_month)
        with context.clone(copied) as short_url:
            found = _alternate(context, long_url, short_url, last)
    yield Result.comparing(
        found["long"],
        found["short"],
        name="storage_history",
        work=f"storage after one month changed, {MONTHS} months of history",
        against=f"{A_YEAR} months of history",
        goal=GOAL,
        size=f"{sizes.segments_per_month:,} segments a month of {sizes.families:,} families",
    )


def _alternate(
    context: BenchContext, long_url: str, short_url: str, last: Month
) -> dict[str, Samples]:
    with (
        connect(long_url, application="bench") as long_connection,
        connect(short_url, application="bench") as short_connection,
    ):
        subject = Subject(long_url, long_connection, last)
        short = Subject(short_url, short_connection, last)
        short.forget(FIRST_MONTH.until(last.plus(-A_YEAR)))
        for counted in (subject, short):
            counted.first()
        return alternating(
            {"long": subject.changed, "short": short.changed},
            repetitions=3 * context.sizes.repetitions,
        )
