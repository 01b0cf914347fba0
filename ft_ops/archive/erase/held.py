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
    their content is in the archive alone. Reads one small STANDARD object a generation.
    """
    (scope,) = [s for s in standing_scopes(connection) if s.hold.id == hold.id]
    months: set[Month] = set()
    threads: set[UUID] = set()
    authors: set[UUID] = set()
    for generation in _all_generations(connection):
        found = [s for s in read_subjects(bucket, generation) if scope.holds(s, generation.month)]
        if found:
            months.add(generation.month)
        threads.update(s.thread_id for s in found if s.thread_id is not None)
        authors.update(s.user_id for s in found if s.user_id is not None)
    with connection.transaction():
        for kind, ids, whole in (
            ("thread", threads, hold.kind in {"family", "book", "thread"}),
            ("user", authors, False),
        ):
            connection.execute(
                statement("archive/record_archived_subjects"),
                {"kind": kind, "hold": hold.id, "whole": whole, "ids": sorted(ids)},
            )
        recorded = one_hold(
            connection,
            "archive/record_archived_months",
            {"id": hold.id, "months": sorted(month.first_day for month in months)},
        )
    connection.execute(statement("archive/analyze_held"))
    return recorded or hold


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
