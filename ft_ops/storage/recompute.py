"""Recomputes storage: the changed months, or every month, in one snapshot and one transaction.

Killed at any point it leaves the rollup, the sums and the marks as they were, because all of
them change by one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from psycopg.types.json import Jsonb

from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.storage.changes import (
    ESTIMATES,
    AttachedMonth,
    Changes,
    MediaVersion,
    Reason,
    find_changes,
)
from ft_ops.storage.readers import OpenSession, Readers, in_order, readers_of
from ft_ops.storage.rollup import (
    CountedMonth,
    Example,
    correct_sums,
    departed_query,
    differences_query,
    finish_sums,
    forget_month,
    neighbours,
    record_months,
    unexplained_differences,
    write_differences,
)
from ft_ops.storage.snapshot import Snapshot, one_snapshot

TASK = "storage"
"""The advisory lock of whatever writes storage totals."""

MOST_EXAMPLES = 20

Log: TypeAlias = Callable[[str], None]
Kind: TypeAlias = Literal["changed months", "every month"]


@dataclass(frozen=True, slots=True)
class Recomputation:
    """What one run counted.

    ``reasons`` has an entry for each month that the signals called changed. ``disagreements``
    are rollup rows and sums that a full run found different although no signal had said so: with
    sound signals there are none.
    """

    kind: Kind
    snapshot: Snapshot
    months: int
    counted: tuple[CountedMonth, ...]
    reasons: Mapping[Month, Reason]
    disagreements: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What one statement counts: neighbouring months, of all users or of some."""

    months: Mapping[Month, AttachedMonth]
    users: Sequence[UUID] | None


@dataclass(slots=True)
class _Work:
    """One run under way: its transaction, its readers, and what it has found so far."""

    connection: Connection
    readers: Readers
    ahead: int
    snapshot: Snapshot
    media: MediaVersion
    changes: Changes
    log: Log
    counted: list[CountedMonth] = field(default_factory=list)
    disagreements: int = 0
    examples: list[Example] = field(default_factory=list)


def recompute_changed(
    connection: Connection,
    open_session: OpenSession,
    *,
    readers: int,
    run_id: str,
    media: MediaVersion = ESTIMATES,
    log: Log = lambda line: None,
) -> Recomputation:
    """Count the months that changed; the sums in ops are then those of the run's snapshot.

    ``open_session`` opens further sessions on the same database, ``readers`` of which count side
    by side. Writes nothing to the product's tables. Refused when another run is at work.
    """
    with _begun(connection, open_session, readers, media, log) as work:
        for part, stream in _counts(work, list(_changed_parts(work.changes, readers))):
            _write(work, part, stream)
        _forget_departed(work)
        return _finish(work, "changed months", run_id)


def recompute_everything(
    connection: Connection,
    open_session: OpenSession,
    *,
    readers: int,
    run_id: str,
    media: MediaVersion = ESTIMATES,
    log: Log = lambda line: None,
) -> Recomputation:
    """Count every month and add every sum up anew, and compare with what was recorded.

    Whatever differs is put right and, where no signal explains it, reported as a disagreement.
    """
    with _begun(connection, open_session, readers, media, log) as work:
        # Readers see the sums and the rollup as they were before this run; what a sum is off
        # then it is still off after both have moved by the same differences.
        wrong_books = work.readers.copy_out(statement("storage/wrong_books"))
        wrong_users = work.readers.copy_out(statement("storage/wrong_users"))
        every = [Part(run, None) for run in neighbours(work.changes.attached, readers)]
        for part, stream in _counts(work, every):
            _write(work, part, stream)
            _compare(work)
        _forget_departed(work)
        work.disagreements += correct_sums(connection, "books", wrong_books.result())
        work.disagreements += correct_sums(connection, "users", wrong_users.result())
        return _finish(work, "every month", run_id)


@contextmanager
def _begun(
    connection: Connection,
    open_session: OpenSession,
    readers: int,
    media: MediaVersion,
    log: Log,
) -> Iterator[_Work]:
    with (
        only_one(connection, TASK),
        one_snapshot(connection) as snapshot,
        readers_of(connection, open_session, readers) as counting,
    ):
        connection.execute(statement("storage/create_differences"))
        changes = find_changes(connection, media)
        yield _Work(connection, counting, readers + 1, snapshot, media, changes, log)


def _changed_parts(changes: Changes, readers: int) -> Iterator[Part]:
    """Months of which a few users changed, each by itself; the others whole, in runs."""
    for month, users in changes.users.items():
        yield Part({month: changes.attached[month]}, users)
    whole = {
        month: attached
        for month, attached in changes.attached.items()
        if month in changes.reasons and month not in changes.users
    }
    for run in neighbours(whole, readers):
        yield Part(run, None)


def _counts(work: _Work, parts: Sequence[Part]) -> Iterator[tuple[Part, list[bytes]]]:
    """Have the readers count each part; what differs, in order."""
    wanted = (
        (part, differences_query(list(part.months), part.users, work.media)) for part in parts
    )
    months = sum(len(part.months) for part in parts)
    for part, stream in in_order(work.readers, wanted, ahead=work.ahead):
        yield part, stream
        work.log(f"{len(work.counted)} of {months} months, to {max(part.months)}")


def _write(work: _Work, part: Part, stream: Sequence[bytes]) -> None:
    differing = write_differences(work.connection, stream)
    work.counted += record_months(
        work.connection, part.months, work.media, work.snapshot.taken_at, differing
    )


def _compare(work: _Work) -> None:
    room = MOST_EXAMPLES - len(work.examples)
    count, examples = unexplained_differences(work.connection, work.changes, most=max(room, 1))
    work.disagreements += count
    work.examples += examples[:room]


def _forget_departed(work: _Work) -> None:
    departed = [m for m in work.changes.reasons if m not in work.changes.attached]
    wanted = ((month, departed_query(month)) for month in departed)
    for month, stream in in_order(work.readers, wanted, ahead=work.ahead):
        differing = write_differences(work.connection, stream)
        work.counted.append(forget_month(work.connection, month, differing.get(month, 0)))


def _finish(work: _Work, kind: Kind, run_id: str) -> Recomputation:
    work.connection.execute(statement("storage/forget_changes"))
    finish_sums(work.connection)
    done = Recomputation(
        kind,
        work.snapshot,
        len(work.changes.attached),
        tuple(work.counted),
        work.changes.reasons,
        work.disagreements,
        tuple(work.examples),
    )
    work.connection.execute(
        statement("storage/record_recomputation"),
        {
            "kind": kind,
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
    return done
