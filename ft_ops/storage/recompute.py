"""Recomputes storage: the changed months, or every month, in one snapshot and one transaction.

Killed at any point it leaves the rollup, the sums and the marks as they were, because all of
them change by one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from psycopg.types.json import Jsonb

from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.storage.changes import ESTIMATES, Changes, MediaVersion, Reason, find_changes
from ft_ops.storage.rollup import (
    CountedMonth,
    Example,
    count_months,
    finish_sums,
    forget_month,
    neighbours,
    rebuild_sums,
    show_differences,
)
from ft_ops.storage.snapshot import Snapshot, one_snapshot

TASK = "storage"
"""The advisory lock of whatever writes storage totals."""

MOST_EXAMPLES = 20

Log: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recomputation:
    """What one run counted.

    ``reasons`` has an entry for each month that the signals called changed. ``disagreements``
    are rollup rows and sums that a full run found different although no signal had said so: with
    sound signals there are none.
    """

    kind: Literal["changed months", "every month"]
    snapshot: Snapshot
    months: int
    counted: tuple[CountedMonth, ...]
    reasons: Mapping[Month, Reason]
    disagreements: int = 0
    examples: tuple[Example, ...] = ()


def recompute_changed(
    connection: Connection,
    *,
    run_id: str,
    media: MediaVersion = ESTIMATES,
    log: Log = lambda line: None,
) -> Recomputation:
    """Count the months that changed; the sums in ops are then those of the run's snapshot.

    Writes nothing to the product's tables. Refused when another run is at work.
    """
    with only_one(connection, TASK), one_snapshot(connection) as snapshot:
        changes = _begin(connection, media)
        attached = [month for month in changes.reasons if month in changes.attached]
        counted: list[CountedMonth] = []
        for months in neighbours(attached):
            counted += count_months(connection, months, changes.attached, media, snapshot.taken_at)
            log(_progress(counted, len(attached)))
        counted += _forget_departed(connection, changes)
        done = Recomputation(
            "changed months", snapshot, len(changes.attached), tuple(counted), changes.reasons
        )
        _finish(connection, done, run_id)
    return done


def recompute_everything(
    connection: Connection,
    *,
    run_id: str,
    media: MediaVersion = ESTIMATES,
    log: Log = lambda line: None,
) -> Recomputation:
    """Count every month and add every sum up anew, and compare with what was recorded.

    Whatever differs is put right and, where no signal explains it, reported as a disagreement.
    """
    with only_one(connection, TASK), one_snapshot(connection) as snapshot:
        changes = _begin(connection, media)
        counted: list[CountedMonth] = []
        examples: list[Example] = []
        for months in neighbours(changes.attached):
            found = count_months(connection, months, changes.attached, media, snapshot.taken_at)
            missed = _missed(found, changes)
            if missed and len(examples) < MOST_EXAMPLES:
                examples += show_differences(connection, missed, most=MOST_EXAMPLES - len(examples))
            counted += found
            log(_progress(counted, len(changes.attached)))
        counted += _forget_departed(connection, changes)
        wrong_sums = rebuild_sums(connection)
        done = Recomputation(
            "every month",
            snapshot,
            len(changes.attached),
            tuple(counted),
            changes.reasons,
            disagreements=wrong_sums
            + sum(month.differing for month in counted if month.month not in changes.reasons),
            examples=tuple(examples),
        )
        _finish(connection, done, run_id)
    return done


def _begin(connection: Connection, media: MediaVersion) -> Changes:
    # Room for the groups of three months; compiling the plans would take longer than running them.
    connection.execute("SET LOCAL work_mem = '64MB'")
    connection.execute("SET LOCAL jit = off")
    return find_changes(connection, media)


def _forget_departed(connection: Connection, changes: Changes) -> list[CountedMonth]:
    departed = [month for month in changes.reasons if month not in changes.attached]
    return [forget_month(connection, month) for month in departed]


def _missed(counted: Sequence[CountedMonth], changes: Changes) -> list[Month]:
    return [
        month.month for month in counted if month.differing and month.month not in changes.reasons
    ]


def _finish(connection: Connection, done: Recomputation, run_id: str) -> None:
    connection.execute(statement("storage/forget_changes"))
    finish_sums(connection)
    connection.execute(
        statement("storage/record_recomputation"),
        {
            "kind": done.kind,
            "snapshot": done.snapshot.name,
            "lsn": done.snapshot.lsn,
            "taken_at": done.snapshot.taken_at,
            "months": done.months,
            "recomputed": [month.month.first_day for month in done.counted],
            "disagreements": done.disagreements,
            "examples": Jsonb(list(done.examples)),
            "run_id": run_id,
        },
    )


def _progress(counted: Sequence[CountedMonth], months: int) -> str:
    latest = counted[-1]
    return (
        f"{len(counted)} of {months} months: {latest.month} has {latest.segments:,} segments, "
        f"{latest.bytes:,} bytes; {latest.differing:,} rows differed"
    )
