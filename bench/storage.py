"""Storage use, recomputed: in full against the specification's function, and after one month.

Ours counts by month, book and user in one snapshot, and writes families and users. The function's
statement counts only what families have, and visits them one by one. It runs once, between two runs
of ours. Before each run of either, the figures of all families are made wrong. After an edit of
every thirty-second segment of the last month, about a day's worth, that month alone is counted,
against a full recomputation after the same edit, and against the same with a third of the history.
Months are dropped to measure how the time of a full recomputation grows. What the application
notices of it is measured, too, under the load of archive_purge_load.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import Final

from bench._storage import Subject
from bench._storage_load import while_recomputed
from bench.frame import (
    BenchContext,
    Result,
    Samples,
    Template,
    alternating,
    profile,
)
from ft_ops.pg.connect import connect

FULL_GOAL: Final = 1 / 10
CHANGED_GOAL: Final = 1 / 5
LONGER: Final = 3
LONGER_GOAL: Final = 1.25
GROWTH_GOAL: Final = 1.1

WHY_FULL: Final = (
    "Where the specification's function reads each segment once, ours reads it once and also"
    " compares every month's counts, book by book and user by user, with what was recorded, and"
    " every sum with its months. In the profile, `in_order` waits for the two sessions that count,"
    " each as fast as one core reads and groups; what is left is writing what differs"
)
WHY_CHANGED: Final = (
    "What every run does, however little changed, weighs here: the snapshot, the readers' sessions,"
    " the signals of all months, the comparison of all totals. The month itself is counted by its"
    " marked users where they are few, and whole otherwise, in one session, where a full"
    " recomputation has two side by side"
)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    server = context.sandbox.server
    with context.clone(template) as url, connect(url, application="bench") as connection:
        subject = Subject(url, connection, template.last)
        first = subject.first()
        context.log(f"counted for the first time in {first:.1f} s")
        before, specified, after = subject.full(), subject.specified(), subject.full()
        context.log(f"counted by the specification's function in {specified:.1f} s")
        took = Samples((before, after))
        subject.spoil()
        in_full = profile(subject.recompute_everything, server)
        full = Result.comparing(
            took,
            Samples((specified, specified)),
            name="storage_full",
            work="storage, recomputed in full",
            against="the specification's function",
            goal=FULL_GOAL,
            size=template.size,
        )
        yield replace(full, profile=in_full.parts, note=in_full.told, reason=WHY_FULL)
        yield Result(
            name="storage_first",
            work="storage, computed for the first time",
            against="the specification's function",
            unit="s",
            ours=first,
            reference=specified,
            goal=None,
            n=1,
            spread=0.0,
            size=template.size,
            note="it also writes the rollup, which later runs compare with",
        )
        again = yield from _changed(context, template, subject)
        yield _growth(template, again | {template.months: took.median})
        connection.execute("VACUUM ANALYZE")
        yield from while_recomputed(context, connection, url, template.size)


def _changed(
    context: BenchContext, template: Template, subject: Subject
) -> Generator[Result, None, dict[int, float]]:
    """After one month changed: against a full recomputation, and by the length of the history.

    Returns the seconds of full recomputations of shorter histories, by their months.
    """
    kept = max(1, template.months // LONGER)
    in_full = {}
    with context.clone(template) as url, connect(url, application="bench") as connection:
        short = Subject(url, connection, template.last)
        short.forget(template.first.until(template.last.plus(-kept)))
        short.first()
        found = alternating(
            {
                "changed": subject.changed,
                "changed, full": subject.changed_in_full,
                "short": short.changed,
            },
            repetitions=context.sizes.repetitions,
            warm_ups=0,
        )
        in_full[kept] = short.full()
        if kept > 1:
            short.forget(template.last.plus(1 - kept).until(template.last.plus(-1)))
            short.recompute_everything()
            in_full[1] = short.full()
    context.log("counted after one month changed, with all months and with fewer")
    subject.edit()
    shown = profile(subject.recompute_changed, context.sandbox.server)
    changed = Result.comparing(
        found["changed"],
        found["changed, full"],
        name="storage_changed",
        work=f"storage after one month of {template.months} changed",
        against="the same, recomputed in full",
        goal=CHANGED_GOAL,
        size=template.size,
    )
    yield replace(changed, profile=shown.parts, note=shown.told, reason=WHY_CHANGED)
    by_history = Result.comparing(
        found["changed"],
        found["short"],
        name="storage_changed_by_history",
        work=f"storage after one month changed, {template.months} months of history",
        against=f"{kept} months of history",
        goal=LONGER_GOAL,
        size=template.size,
    )
    yield replace(by_history, reason=WHY_CHANGED)
    return in_full


def _growth(template: Template, took: Mapping[int, float]) -> Result:
    """How the time of a full recomputation grows; ``took`` is in seconds, by months."""
    return Result.growing(
        {months * template.segments_per_month: took[months] for months in sorted(took)},
        name="storage_growth",
        work="storage, recomputed in full",
        unit="segments",
        goal=GROWTH_GOAL,
    )
