"""Which archived months still hold content that was erased from the database.

The list of subjects beside each generation (family, thread, author, segments) tells, without a
thaw; segments that were deleted one by one are known by their month.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ft_ops.archive.month.holds import LegalHold, active_holds
from ft_ops.archive.month.ledger import Generation, generations, months_by_state
from ft_ops.archive.store.content_index import Subject, read_subjects
from ft_ops.items import Failed, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Tombstones:
    """What was erased. Segments that were deleted one by one come with their month and when."""

    users: frozenset[UUID]
    families: frozenset[UUID]
    threads: frozenset[UUID]
    segments: tuple[tuple[Month, datetime], ...]


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """A purged month that holds erased content: its generations, and what forbids the erasure.

    ``problem`` is why it can't be told whether the month holds any: its list of subjects is gone.
    """

    month: Month
    generations: tuple[Generation, ...]
    segments: int
    holds: tuple[str, ...]
    problem: Failed | None = None


def plan_erasures(connection: Connection, bucket: Bucket) -> list[ErasurePlan]:
    """Every purged month with erased content, oldest first; reads STANDARD objects only.

    A month of which that can't be told is among them, with the problem.
    """
    tombstones = read_tombstones(connection)
    holds = active_holds(connection)
    months = {f"erasure of {month}": month for month in months_by_state(connection, "purged")}
    worked = each(months, lambda name: _plan(connection, bucket, months[name], tombstones, holds))
    unknown = [ErasurePlan(months[failed.name], (), 0, (), failed) for failed in worked.failed]
    found = [plan for plan in worked.results if plan is not None]
    return sorted([*found, *unknown], key=lambda plan: plan.month)


def _plan(
    connection: Connection,
    bucket: Bucket,
    month: Month,
    tombstones: Tombstones,
    holds: Sequence[LegalHold],
) -> ErasurePlan | None:
    purged = tuple(g for g in generations(connection, month) if g.state == "purged")
    erased = [s for g in purged for s in _erased_subjects(bucket, g, tombstones)]
    single = sum(_may_hold(g, tombstones) for g in purged)
    if not erased and not single:
        return None
    return ErasurePlan(
        month,
        purged,
        sum(subject.segments for subject in erased) + single,
        tuple(str(hold) for hold in holds if _forbids(hold, month, erased)),
    )


def read_tombstones(connection: Connection) -> Tombstones:
    """What ops.erasures holds."""
    ids: dict[str, set[UUID]] = {"user": set(), "family": set(), "thread": set()}
    segments = []
    for kind, erased_id, month, erased_at in connection.execute(
        statement("archive/tombstones")
    ).fetchall():
        if kind == "segment":
            segments.append((Month.of(month), erased_at))
        else:
            ids[kind].add(erased_id)
    return Tombstones(
        frozenset(ids["user"]), frozenset(ids["family"]), frozenset(ids["thread"]), tuple(segments)
    )


def _erased_subjects(
    bucket: Bucket, generation: Generation, tombstones: Tombstones
) -> Iterator[Subject]:
    for subject in read_subjects(bucket, generation):
        if (
            subject.user_id in tombstones.users
            or subject.thread_id in tombstones.threads
            or subject.family_id in tombstones.families
        ):
            yield subject


def _may_hold(generation: Generation, tombstones: Tombstones) -> int:
    """Segments deleted one by one after this generation was exported."""
    return sum(
        month == generation.month
        and generation.exported_at is not None
        and erased_at > generation.exported_at
        for month, erased_at in tombstones.segments
    )


def _forbids(hold: LegalHold, month: Month, erased: Iterable[Subject]) -> bool:
    if hold.month is not None:
        return hold.month == month.first_day
    return any(
        (hold.family_id is not None and subject.family_id == hold.family_id)
        or (hold.user_id is not None and subject.user_id == hold.user_id)
        for subject in erased
    )
