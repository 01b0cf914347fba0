"""What seven years of hot months cost a product query, against fewer or no partitions.

The same sample is made over 84 months in one database and over 12 in a second. Two others keep
the rows of the second in one table without partitions, with the same indexes, policies and views:
in one of them the same helper functions read it, by way of the registry of keys, and in the other
the table's own indexes do, as one would read it who never had months. Each query is asked as the
application asks it, in turn in the four databases. The processor time of the server process is
measured, because a latency would also measure what else the machine does.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psycopg
from psycopg import conninfo

from bench._shapes import kept, read_plainly
from bench.frame import BenchContext, Result, Samples
from bench.product_queries import Person, ask, query_text
from ft_ops.pg.connect import connect

ROWS: Final = 200_000
QUICK_ROWS: Final = 8_400
FAMILIES: Final = 200
QUICK_FAMILIES: Final = 20
MONTHS: Final = 84
A_YEAR: Final = 12
ONE: Final = "one table"
PLAIN: Final = "one table, read plainly"
GOAL: Final = 1.3
PEOPLE: Final = 100
ROUNDS: Final = 3

REASON: Final = (
    "these queries name no month. A list or a search of segments in more than 24 months is read by"
    " a plan over all months, so each call locks them all and opens those from the oldest to the"
    " newest segment, where one table is one. Read by its own indexes, one table also needs no"
    " registry of keys: it finds a thread's segments side by side, where months are found by the"
    " key of each segment. Months are what the archive moves without a copy"
)
"""Why a query costs more over 84 months than in one table."""

REFERENCES: Final = (
    ("12 months", "12_months", "the same rows in 12 months", GOAL),
    (ONE, "one_table", "the same rows in one table", GOAL),
    (PLAIN, "plain", "one table, read by its own indexes", None),
)
"""What each query is compared with: the shape, the end of the name, its words, the goal."""

QUERIES: Final = (
    "thread_with_content",
    "family_memory_books",
    "search_by_tags",
    "family_storage",
    "active_members",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to keep the rows: its name, and the session that asks for them."""

    name: str
    session: psycopg.Connection
    people: Sequence[Person]


def run(context: BenchContext) -> Iterator[Result]:
    rows = QUICK_ROWS if context.is_quick else ROWS
    families = QUICK_FAMILIES if context.is_quick else FAMILIES
    with ExitStack() as stack:
        shapes = [
            stack.enter_context(_shape(context, name, months, rows, families))
            for name, months in (
                ("84 months", MONTHS),
                ("12 months", A_YEAR),
                (ONE, A_YEAR),
                (PLAIN, A_YEAR),
            )
        ]
        for query in QUERIES:
            context.log(query)
            spent = _measure(shapes, query_text(query), query)
            for reference, suffix, against, goal in REFERENCES:
                result = Result.comparing(
                    spent["84 months"],
                    spent[reference],
                    name=f"product_queries_history_{query}_{suffix}",
                    work=f"{query} at {MONTHS} months: processor time",
                    against=against,
                    unit="ms",
                    goal=goal,
                    size=f"{rows:,} segments of {families:,} families",
                )
                yield replace(result, reason="" if reference == "12 months" else REASON)


@contextmanager
def _shape(
    context: BenchContext, name: str, months: int, rows: int, families: int
) -> Iterator[Shape]:
    with kept(context, months, rows, families, in_one_table=name in (ONE, PLAIN)) as url:
        if name == PLAIN:
            read_plainly(url)
        with connect(url, application="bench") as operations:
            people = operations.execute(
                "SELECT user_id, family_id, thread_id FROM bench.people ORDER BY n LIMIT %s",
                [PEOPLE],
            ).fetchall()
        application = conninfo.make_conninfo(url, user="ft_app")
        with psycopg.connect(
            application, autocommit=True, cursor_factory=psycopg.RawCursor
        ) as session:
            yield Shape(name, session, people)


def _measure(shapes: Sequence[Shape], text: str, query: str) -> dict[str, Samples]:
    """Milliseconds of the server process by shape, one for each round: the median over people.

    The first round fills the caches, of plans too.
    """
    spent: dict[str, list[float]] = {shape.name: [] for shape in shapes}
    for turn in range(ROUNDS + 1):
        of_round: dict[str, list[float]] = {shape.name: [] for shape in shapes}
        for number in range(PEOPLE):
            for shape in shapes:
                person = shape.people[number % len(shape.people)]
                before = _processor_ms(shape.session)
                ask(shape.session, text, person, query)
                of_round[shape.name].append(_processor_ms(shape.session) - before)
        if turn:
            for name, found in of_round.items():
                spent[name].append(statistics.median(found))
    return {name: Samples(tuple(found)) for name, found in spent.items()}


def _processor_ms(session: psycopg.Connection) -> float:
    """What the session's server process has spent on a processor, by the kernel's schedstat."""
    schedule = Path(f"/proc/{session.info.backend_pid}/schedstat").read_text(encoding="ascii")
    return int(schedule.split()[0]) / 1e6
