"""How many requests of the product two cores answer at 84 hot months, against one table.

The same sample is kept over 84 months in one database, and in one table without partitions in two
others: in one the same helper functions read it, by way of the registry of keys, and in the other
the table's own indexes do, as one would read it who never had months. Four clients send the
product's mix of reads and writes, that of archive_purge_load, each without a pause, to the
databases in turn. They write to few threads, which grow to some dozens of segments. The time of a
request is the time of the window over the requests that were answered in it: a goal of 1.25 is a
rate of 0.8. The p99 is of each read at 84 months under that load, against the specification's
targets, of which the dashboard's queries are not in the mix.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Final

from bench._shapes import kept, read_plainly
from bench.frame import BenchContext, Result, alternating
from bench.frame.rate import CLIENTS, Rate, closed_loop
from bench.product_queries import TARGETS

ROWS: Final = 200_000
QUICK_ROWS: Final = 8_400
FAMILIES: Final = 200
QUICK_FAMILIES: Final = 20
MONTHS: Final = 84
SECONDS: Final = 20
QUICK_SECONDS: Final = 2
GOAL: Final = 1 / 0.8

REASON: Final = (
    "What is left is what a plan over months costs. A list of books and a search open each"
    " month from the oldest segment on, a thread opens some ten. The server makes an index scan"
    " ready for each and ends it, asks once for each which one to read, and locks all months"
    " that there are: of a list that opened 119 months 1.4 of the 1.6 ms of a processor that it"
    " took more than in one table by the registry. A new session takes 0.06 s more, for the"
    " catalog's rows of all months. One table that is read plainly also needs no registry: it"
    " has a thread's segments side by side in one index"
)

READS: Final = {
    "read_thread": "thread load",
    "list_books": "memory book list",
    "search": "search",
}
"""The requests of the mix that the specification has a target for, by its names."""

MANY: Final = "84 months"
ONE: Final = "one table"
PLAIN: Final = "one table, read plainly"


def run(context: BenchContext) -> Iterator[Result]:
    rows = QUICK_ROWS if context.is_quick else ROWS
    families = QUICK_FAMILIES if context.is_quick else FAMILIES
    rates: dict[str, list[Rate]] = {name: [] for name in (MANY, ONE, PLAIN)}

    def answered(name: str, url: str) -> float:
        seconds = QUICK_SECONDS if context.is_quick else SECONDS
        rate = closed_loop(context.sandbox, context.work_dir, url, seconds)
        rates[name].append(rate)
        return 1000 / rate.per_second

    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(
                kept(context, MONTHS, rows, families, in_one_table=name != MANY)
            )
            for name in rates
        }
        read_plainly(urls[PLAIN])
        found = alternating(
            {name: partial(answered, name, url) for name, url in urls.items()},
            repetitions=context.sizes.repetitions,
        )
    measured = {name: of[1:] for name, of in rates.items()}
    size = f"{rows:,} segments of {families:,} families; {CLIENTS} clients without a pause"
    for name, against, other, goal in (
        ("product_rate", "the same rows in one table", ONE, GOAL),
        ("product_rate_plain", "one table, read by its own indexes", PLAIN, None),
    ):
        result = Result.comparing(
            found[MANY],
            found[other],
            name=name,
            work=f"product's mix at {MONTHS} months: time of a request",
            against=against,
            unit="ms",
            goal=goal,
            size=size,
        )
        told = f"{_per_second(measured[MANY]):,.0f} against {_per_second(measured[other]):,.0f}"
        yield replace(result, note=f"{told} requests a second", reason=REASON)
    for read, screen in READS.items():
        latencies = [ms for rate in measured[MANY] for ms in rate.latencies[read]]
        ordered = statistics.quantiles(latencies, n=100, method="inclusive")
        yield Result(
            name=f"product_rate_{read}",
            work=f"{screen} at {MONTHS} months under that load: p99",
            against="",
            unit="ms",
            ours=ordered[98],
            goal=TARGETS[screen][0],
            n=len(latencies),
            spread=(max(latencies) - min(latencies)) / statistics.median(latencies),
            size=size,
        )


def _per_second(rates: list[Rate]) -> float:
    return statistics.median(rate.per_second for rate in rates)
