"""What legal holds hold in archives, by the list of subjects beside each generation.

The subjects are those of the day of the export: who was moved, renamed or erased since is held as
the archive knows him.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from ft_ops.archive.hold.holds import LegalHold, active_holds, one_hold
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import all_latest, generations
from ft_ops.archive.run import Run
from ft_ops.archive.store.content_index import IndexedSubject, read_subjects
from ft_ops.items import Worked, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class HoldScope:
    """One standing hold, with the threads that it holds whole, whoever has written in them."""

    hold: LegalHold
    threads: frozenset[UUID]

    def holds(self, subject: IndexedSubject, month: Month) -> bool:
        """Whether what an archive of ``month`` has of a subject is held."""
        hold = self.hold
        return (
            hold.month == month.first_day
            or (hold.family_id is not None and subject.family_id == hold.family_id)
            or (hold.user_id is not None and subject.user_id == hold.user_id)
            or (subject.thread_id is not None and subject.thread_id in self.threads)
        )


def standing_scopes(connection: Connection) -> list[HoldScope]:
    """Every standing hold with its scope, oldest first."""
    threads: dict[int, set[UUID]] = {}
    for hold_id, thread in connection.execute(statement("archive/held_threads")).fetchall():
        threads.setdefault(hold_id, set()).add(thread)
    return [
        HoldScope(hold, frozenset(threads.get(hold.id, ())) | _itself(hold))
        for hold in active_holds(connection)
    ]


def holding(
    scopes: Iterable[HoldScope], subjects: Iterable[IndexedSubject], month: Month
) -> list[LegalHold]:
    """The holds that hold any of the subjects of an archived month, oldest first."""
    known = list(subjects)
    return [
        scope.hold
        for scope in scopes
        if scope.hold.month == month.first_day
        or any(scope.holds(subject, month) for subject in known)
    ]


def record_archived(connection: Connection, bucket: Bucket, hold: LegalHold) -> LegalHold:
    """Search every archive for what a standing hold holds; record its months, threads and authors.

    From then on such a thread can't be deleted or moved, nor its authors be deleted, although
    their content is in the archive alone. Reads one small STANDARD object a generation. A list that
    can't be read keeps what the others say from nothing, and the search stays open: SomeFailed.
    """
    (scope,) = [s for s in standing_scopes(connection) if s.hold.id == hold.id]
    read = each(
        _all_generations(connection),
        lambda g: (g.month, [s for s in read_subjects(bucket, g) if scope.holds(s, g.month)]),
        name=lambda g: f"subjects of {g.name}",
    )
    held = [(month, found) for month, found in read.results if found]
    subjects = [subject for _, found in held for subject in found]
    threads = {s.thread_id for s in subjects if s.thread_id is not None}
    authors = {s.user_id for s in subjects if s.user_id is not None}
    with connection.transaction():
        for kind, ids, whole in (
            ("thread", threads, hold.kind in {"family", "book", "thread"}),
            ("user", authors, False),
        ):
            connection.execute(
                statement("archive/record_archived_subjects"),
                {"kind": kind, "hold": hold.id, "whole": whole, "ids": sorted(ids)},
            )
        # Only a whole search counts as one.
        recorded = None if read.failed else _record_months(connection, hold, {m for m, _ in held})
    connection.execute(statement("archive/analyze_held"))
    read.refuse_failures(f"search of the archives for {hold}")
    return recorded or hold


def _record_months(
    connection: Connection, hold: LegalHold, months: Iterable[Month]
) -> LegalHold | None:
    return one_hold(
        connection,
        "archive/record_archived_months",
        {"id": hold.id, "months": sorted(month.first_day for month in months)},
    )


def search_unsearched(run: Run) -> Worked[LegalHold]:
    """Search the archives for each standing hold that nobody has searched them for yet.

    A bucket that could not be asked, or a hold that was placed by SQL, has left it so.
    """
    unsearched = [hold for hold in active_holds(run.connection) if hold.archived_months is None]
    return each(
        unsearched,
        lambda hold: record_archived(run.connection, run.bucket, hold),
        name=lambda hold: f"search of the archives for {hold}",
        log=run.log,
    )


def _itself(hold: LegalHold) -> frozenset[UUID]:
    return frozenset({hold.thread_id}) if hold.thread_id is not None else frozenset()


def _all_generations(connection: Connection) -> Iterator[Generation]:
    for newest in all_latest(connection):
        yield from (g for g in generations(connection, newest.month) if g.objects)
