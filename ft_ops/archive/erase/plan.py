"""Which archives still hold content that was erased from the database.

The lists beside each generation tell, without a thaw: the subjects (family, thread, author), and
the segments and shared rows that were proven, by id. That is so of every generation whose objects
lie in the bucket: one that is only in the archive has to be rewritten, one whose rows are in the
database has to be exported again, and one that another replaces only has to go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ft_ops.archive.erase.held_links import link_at_stake
from ft_ops.archive.erase.scope import HoldScope, kept_with, standing_scopes
from ft_ops.archive.hold.holds import LegalHold
from ft_ops.archive.month.evolution import read_evolution
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, months_by_state
from ft_ops.archive.store.content_index import IndexedSubject, is_listed, read_subjects
from ft_ops.archive.store.unit_lists import has_unit_lists, proven_ids
from ft_ops.items import Failed, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class ErasedSegment:
    """A segment that was deleted by itself, while its month was archived."""

    id: UUID
    month: Month
    erased_at: datetime


@dataclass(frozen=True, slots=True)
class Tombstones:
    """What was erased: users, families and threads by kind and id, segments, and shared rows.

    With the moment of one whose id was in use again before that was refused: it is only about what
    was archived earlier.
    """

    subjects: Mapping[tuple[str, UUID], datetime | None]
    segments: tuple[ErasedSegment, ...]
    rows: frozenset[tuple[str, str]]
    """Shared rows that were deleted by themselves: what their table is called today, and key."""
    today: Callable[[str], str] = field(default=str, compare=False)
    """What a table of an archive is called today."""

    def of(self, generation: Generation, kind: str, subject: UUID | None) -> bool:
        """Whether a subject of a generation was erased."""
        if subject is None or (kind, subject) not in self.subjects:
            return False
        until = self.subjects[kind, subject]
        return until is None or (generation.as_of is not None and generation.as_of < until)


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """A month whose archives hold erased content, and what forbids the erasure.

    ``generations`` have to be rewritten from Glacier, ``renewed`` exported again, and ``collected``
    removed. ``segments`` counts what was erased in the first two. ``problem`` is why it can't be
    told whether the month holds any: a list is gone.
    """

    month: Month
    generations: tuple[Generation, ...]
    segments: int
    holds: tuple[str, ...]
    renewed: tuple[Generation, ...] = ()
    collected: tuple[Generation, ...] = ()
    problem: Failed | None = None


def plan_erasures(connection: Connection, bucket: Bucket) -> list[ErasurePlan]:
    """Every month with erased content, oldest first; reads STANDARD objects only.

    A month of which that can't be told is among them, with the problem.
    """
    tombstones = read_tombstones(connection)
    scopes = standing_scopes(connection)
    stored = months_by_state(connection, ("frozen", "purged", "superseded"))
    months = {f"erasure of {month}": month for month in stored}
    worked = each(months, lambda name: _plan(connection, bucket, months[name], tombstones, scopes))
    unknown = [
        ErasurePlan(months[failed.name], (), 0, (), problem=failed) for failed in worked.failed
    ]
    found = [plan for plan in worked.results if plan is not None]
    return sorted([*found, *unknown], key=lambda plan: plan.month)


def holds_on_erasure(
    connection: Connection, bucket: Bucket, archived: Sequence[Generation]
) -> tuple[str, ...]:
    """The holds that forbid, at this moment, to take what was erased out of these generations.

    One on the month, or on a family, a thread or an author of what was erased, or to whose content
    it was attached, or may have been, or with which a held link shares it. The tombstone of a
    segment that was deleted by itself does not tell whose it was: then a hold on anybody in the
    list forbids it; nor does that of a shared row, which counts as attached to anything.
    """
    scopes = standing_scopes(connection)
    if not scopes:
        return ()
    tombstones = read_tombstones(connection)
    found = [
        hold
        for generation in archived
        for hold in _forbidding(bucket, generation, _erased(bucket, generation, tombstones), scopes)
    ]
    return tuple(dict.fromkeys(str(hold) for hold in found))


def read_tombstones(connection: Connection) -> Tombstones:
    """What ops.erasures and ops.erased_rows hold."""
    subjects: dict[tuple[str, UUID], datetime | None] = {}
    segments = []
    for kind, erased_id, month, erased_at, used_again in connection.execute(
        statement("archive/tombstones")
    ).fetchall():
        if kind == "segment":
            segments.append(ErasedSegment(erased_id, Month.of(month), erased_at))
        else:
            subjects[kind, erased_id] = erased_at if used_again else None
    rows = connection.execute(statement("archive/erased_rows")).fetchall()
    today = read_evolution(connection).table_today
    return Tombstones(
        subjects,
        tuple(segments),
        frozenset((today(table), key) for table, key in rows),
        today,
    )


def holds_erased(bucket: Bucket, generation: Generation, tombstones: Tombstones) -> bool:
    """Whether a generation holds anything of what was erased, by the lists beside it."""
    return _erased(bucket, generation, tombstones).is_any


def _plan(
    connection: Connection,
    bucket: Bucket,
    month: Month,
    tombstones: Tombstones,
    scopes: Sequence[HoldScope],
) -> ErasurePlan | None:
    stored = [g for g in generations(connection, month) if g.objects]
    erased = {g.number: _erased(bucket, g, tombstones) for g in stored}
    affected = [g for g in stored if erased[g.number].is_any]
    if not affected:
        return None
    rewritten = tuple(g for g in affected if g.state == "purged")
    renewed = tuple(g for g in affected if g.state == "frozen" and g.is_in_database)
    holds = {
        hold.id: hold for g in affected for hold in _forbidding(bucket, g, erased[g.number], scopes)
    }
    plan = ErasurePlan(
        month,
        # Glacier is asked for all: what holds nothing of it stays as it is.
        tuple(g for g in stored if g.state == "purged") if rewritten else (),
        sum(erased[g.number].segments for g in (*rewritten, *renewed)),
        tuple(str(holds[hold_id]) for hold_id in sorted(holds)),
        renewed,
        tuple(g for g in affected if g.state == "superseded"),
    )
    return plan if plan.generations or plan.renewed or plan.collected else None


@dataclass(frozen=True, slots=True)
class _Erased:
    """What a generation holds of what was erased."""

    subjects: tuple[IndexedSubject, ...]
    single: int = 0
    rows: int = 0

    @property
    def is_any(self) -> bool:
        return bool(self.subjects or self.single or self.rows)

    @property
    def segments(self) -> int:
        return sum(subject.segments for subject in self.subjects) + self.single


def _erased(bucket: Bucket, generation: Generation, tombstones: Tombstones) -> _Erased:
    subjects = tuple(_erased_subjects(bucket, generation, tombstones))
    single = {s.id for s in tombstones.segments if _may_hold(generation, s)}
    if not has_unit_lists(generation):
        return _Erased(subjects, len(single))
    tables = [tombstones.today(name) for name in generation.require_content().names]
    rows = {(tables.index(table), key) for table, key in tombstones.rows if table in tables}
    if not single and not rows:
        return _Erased(subjects)
    held = proven_ids(bucket, generation)
    return _Erased(subjects, len(single & held.segments), len(rows & held.shared))


def _erased_subjects(
    bucket: Bucket, generation: Generation, tombstones: Tombstones
) -> Iterator[IndexedSubject]:
    for subject in read_subjects(bucket, generation):
        if (
            tombstones.of(generation, "user", subject.user_id)
            or tombstones.of(generation, "thread", subject.thread_id)
            or tombstones.of(generation, "family", subject.family_id)
        ):
            yield subject


def _forbidding(
    bucket: Bucket, generation: Generation, erased: _Erased, scopes: Iterable[HoldScope]
) -> Iterator[LegalHold]:
    """The holds that forbid to take what was erased out of a generation, oldest first."""
    among = list(read_subjects(bucket, generation)) if erased.is_any else []
    at_stake = set(among if erased.single else erased.subjects)
    if erased.rows:
        at_stake |= {subject for subject in among if subject.thread_id is None}
    for scope in scopes:
        kept = kept_with(scope, generation, among)
        if (
            scope.hold.month == generation.month.first_day
            or not at_stake.isdisjoint((*kept.held, *kept.beside))
            # It may be what a held link leads to, which is listed once the hold is released.
            or (at_stake and kept.held and not is_listed(generation))
            or link_at_stake(bucket, generation, scope.ends, at_stake, shared=erased.rows > 0)
        ):
            yield scope.hold


def _may_hold(generation: Generation, segment: ErasedSegment) -> bool:
    """Whether a generation may hold a segment that was deleted.

    Where there is no list of its segments: if it was deleted after the rows were read. A tombstone
    bears the moment at which its transaction began, which may be long before, and by another clock.
    """
    return segment.month == generation.month and (
        has_unit_lists(generation)
        or (generation.as_of is not None and segment.erased_at > generation.as_of)
    )
