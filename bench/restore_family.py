"""One family back from a copy that is already restored: how long a person waits, for databases of
different sizes.

The copy is the filled database itself; the live one is a clone of it in which all of one family's
segments were deleted. The whole of `restore_subject` is measured: reading the copy, comparing,
inserting, and comparing the server's count with the chosen rows. The goal is what a person is
willing to wait, so there is no reference. The same with a third of the history shows what grows.

Then the application works on the live one, and its latencies during the restore are compared with
quiet windows. Here the copy is on the same server; a restored copy never is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from psycopg import conninfo

from bench._disturbance import Job, disturb, disturbance
from bench.frame import BenchContext, Result, Samples, seconds
from bench.frame.context import Template
from bench.frame.load import application_load
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.rows import one_row
from ft_ops.restore import Decisions, RestorePlan, Side, Subject, restore_subject

GOAL = 10.0
LOAD_GOAL = 1.5
LOAD_REPETITIONS = 5
LONGER = 3

_FAMILY = """
    SELECT b.family_id FROM content_segments AS s JOIN threads AS t ON t.id = s.thread_id
    JOIN memory_books AS b ON b.id = t.memory_book_id
    GROUP BY b.family_id ORDER BY count(*) DESC LIMIT 1
"""
_DELETE = """
    DELETE FROM content_segments WHERE thread_id IN (
        SELECT t.id FROM threads AS t JOIN memory_books AS b ON b.id = t.memory_book_id
        WHERE b.family_id = %s
    )
"""


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    fewer = replace(context.sizes, months=max(1, template.months // LONGER))
    long, rows = _restored(context, template)
    with context.sample_database(fewer) as url:
        name = str(conninfo.conninfo_to_dict(url)["dbname"])
        short, _ = _restored(context, replace(template, name=name, url=url))
    size = f"{template.size}; {rows:,} rows brought back"
    yield Result(
        name="restore_family",
        work="one family restored from a copy that stands",
        against="",
        unit="s",
        ours=long.median,
        goal=GOAL,
        n=long.n,
        spread=long.spread,
        size=size,
    )
    yield Result.comparing(
        long,
        short,
        name="restore_family_growth",
        work="the same",
        against=f"in 1/{LONGER} of the history",
        goal=None,
        size=size,
    )
    yield from _noticed(context, size)


def _noticed(context: BenchContext, size: str) -> Iterator[Result]:
    """What the application notices, over several restores of the same family."""
    template = context.template
    job = Job("restore_family_load", "while a family is restored", size, goal=LOAD_GOAL)
    with (
        context.clone(template) as copy_url,
        connect(copy_url, application="bench") as copy,
        context.clone(template) as url,
        connect(url, application="bench") as live,
    ):
        family = _largest_family(copy)

        def lose() -> None:
            live.execute(_DELETE, (family,))

        lose()
        live.execute("ANALYZE")
        # What cloning has left the kernel to write, half a minute later, is not the job's doing.
        os.sync()
        with application_load(context.sandbox, context.work_dir, url) as load:
            quiet, busy = disturb(
                context,
                load,
                lambda: _restore(copy, live, family),
                repetitions=LOAD_REPETITIONS,
                prepare=lose,
            )
    yield from disturbance(job, load, quiet, busy)


def _largest_family(copy: Connection) -> UUID:
    family: UUID = one_row(copy.execute(_FAMILY))[0]
    return family


def _restore(copy: Connection, live: Connection, family: UUID) -> RestorePlan:
    return restore_subject(
        Side.of(copy),
        live,
        Subject("family", family),
        source="the bench",
        as_of=None,
        decisions=Decisions(),
        apply=True,
        run_id="bench",
    )


def _restored(context: BenchContext, template: Template) -> tuple[Samples, int]:
    """How long it takes in a database like this one, and how many rows came back."""
    times, rows = [], 0
    with context.clone(template) as copy_url, connect(copy_url, application="bench") as copy:
        family = _largest_family(copy)
        for _ in range(context.sizes.repetitions):
            with context.clone(template) as url, connect(url, application="bench") as live:
                live.execute(_DELETE, (family,))
                live.execute("ANALYZE")

                def restore(live: Connection = live) -> None:
                    nonlocal rows
                    rows = _restore(copy, live, family).inserts

                times.append(seconds(restore))
    return Samples(tuple(times)), rows
