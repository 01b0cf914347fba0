"""What a legal hold holds of what an archive has: by the threads and ends known for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ft_ops.archive.hold.holds import LegalHold, active_holds
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.store.content_index import IndexedSubject
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class HoldScope:
    """One standing hold, with the threads that it holds whole, whoever has written in them.

    ``ends`` are the segments that its links lead to, as far as the archives were searched for it.
    """

    hold: LegalHold
    threads: frozenset[UUID]
    ends: frozenset[UUID] = frozenset()

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
    found: dict[tuple[int, str], set[UUID]] = {}
    for hold_id, kind, subject in connection.execute(statement("archive/held_by_id")).fetchall():
        found.setdefault((hold_id, kind), set()).add(subject)
    return [
        HoldScope(
            hold,
            frozenset(found.get((hold.id, "thread"), ())) | itself(hold),
            frozenset(found.get((hold.id, "end"), ())),
        )
        for hold in active_holds(connection)
    ]


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one generation's subjects those that are held, and those that have to stay beside them.

    What was attached to a segment does not say to which: whoever has attached something in a
    family stays with a segment of it, and all of a family with what was attached there.
    """

    generation: Generation
    held: Sequence[IndexedSubject]
    beside: Sequence[IndexedSubject]


def kept_with(scope: HoldScope, generation: Generation, subjects: Sequence[IndexedSubject]) -> Kept:
    """What of a generation's subjects a hold keeps."""
    held = [subject for subject in subjects if scope.holds(subject, generation.month)]
    families = {s.family_id for s in held} - {None}
    attached_in = {s.family_id for s in held if s.thread_id is None} - {None}
    beside = [
        subject
        for subject in subjects
        if subject.family_id in (families if subject.thread_id is None else attached_in)
    ]
    return Kept(generation, held, beside)


def itself(hold: LegalHold) -> frozenset[UUID]:
    """The thread that a hold is on, if it is on one."""
    return frozenset({hold.thread_id}) if hold.thread_id is not None else frozenset()
