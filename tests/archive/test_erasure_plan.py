"""Which archives hold what was erased, what is to be done with each, and what forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import cast
from uuid import UUID

import pytest

from ft_ops.archive.erase import plan
from ft_ops.archive.erase.plan import (
    ErasedSegment,
    ErasurePlan,
    Tombstones,
    holds_erased,
    holds_on_erasure,
    plan_erasures,
    read_tombstones,
)
from ft_ops.archive.erase.scope import HoldScope
from ft_ops.archive.hold.holds import LegalHold
from ft_ops.archive.month.content import KEYS, Column, Content, Hop, Path, Table
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.archive.month.states import Origin, State
from ft_ops.archive.month.units import RemovalProgress
from ft_ops.archive.store.content_index import ENDS, IndexedSubject, is_listed
from ft_ops.archive.store.unit_lists import UNITS, ProvenIds
from ft_ops.errors import OpsError
from ft_ops.items import Failed
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import StoredObject

MARCH, APRIL = Month(2017, 3), Month(2017, 4)
AS_OF = datetime(2024, 4, 2, tzinfo=UTC)
FAMILY, OTHER_FAMILY = UUID(int=1), UUID(int=2)
THREAD, OTHER_THREAD = UUID(int=3), UUID(int=4)
AUTHOR, OTHER_AUTHOR = UUID(int=5), UUID(int=6)
SEGMENT = UUID(int=7)
NOTHING = Tombstones({}, (), frozenset())
SECOND = timedelta(seconds=1)

CONNECTION = cast(Connection, "the connection")
BUCKET = cast(Bucket, "the bucket")


def generation(
    month: Month = MARCH,
    number: int = 1,
    state: State = "purged",
    as_of: datetime | None = AS_OF,
    origin: Origin = "database",
    objects: Sequence[str] = ("content_segments",),
) -> Generation:
    tables = tuple(
        Table(name, "public", name, (Column("id", "uuid", True),), ("id",))
        for name in ("content_segments", "content_links")
    )
    stored = StoredObject("archive/1", "v", 1, "ab", "DEEP_ARCHIVE")
    return Generation(
        month=month, number=number, state=state, origin=origin, relation=None,
        content=Content(tables), objects=tuple(ArchivedObject(n, 0, 1, stored) for n in objects),
        manifest=None, digests=None, sha256=None, certificate=None, purged=RemovalProgress(),
        replaced_by=None, leftovers=(), as_of=as_of, archived_at=None, exported_at=None,
        proven_at=None, frozen_at=None, purged_at=None,
    )  # fmt: skip


def hold(number: int, **subject: object) -> LegalHold:
    none = LegalHold(
        id=number, month=None, family_id=None, book_id=None, thread_id=None, user_id=None,
        reason="a court asks", placed_by="me", placed_at=AS_OF, released_by=None,
        released_at=None, release_reason=None, archived_months=None, archives_read_at=None,
        unlisted_months=None,
    )  # fmt: skip
    return replace(none, **subject)  # type: ignore[arg-type]  # by its fields


@dataclass
class Archive:
    """What the plan reads: the ledger, the lists of subjects, and what was erased and is held."""

    ledger: dict[Month, list[Generation]] = field(default_factory=dict)
    subjects: dict[tuple[Month, int], list[IndexedSubject]] = field(default_factory=dict)
    damaged: set[Month] = field(default_factory=set)
    erased: Tombstones = NOTHING
    holds: list[LegalHold] = field(default_factory=list)
    proven: ProvenIds = field(default_factory=lambda: ProvenIds(frozenset(), frozenset()))

    def scopes(self) -> list[HoldScope]:
        return [
            HoldScope(held, frozenset() if held.thread_id is None else frozenset({held.thread_id}))
            for held in self.holds
        ]

    def plans(self) -> list[ErasurePlan]:
        return plan_erasures(CONNECTION, BUCKET)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    """March with three segments of one author in one thread, and one of another in another."""
    archive = Archive({MARCH: [generation()]})
    archive.subjects[MARCH, 1] = [
        IndexedSubject(FAMILY, THREAD, AUTHOR, 3),
        IndexedSubject(OTHER_FAMILY, OTHER_THREAD, OTHER_AUTHOR, 1),
        IndexedSubject(None, None, None, 0),
    ]

    def read_subjects(bucket: Bucket, of: Generation) -> list[IndexedSubject]:
        assert bucket is BUCKET
        if of.month in archive.damaged:
            raise OpsError("the list", cause="it is gone", next_step="make it anew")
        return archive.subjects.get((of.month, of.number), [])

    def months_by_state(connection: Connection, states: Sequence[State]) -> list[Month]:
        assert connection is CONNECTION
        return [m for m, found in archive.ledger.items() if any(g.state in states for g in found)]

    def generations(connection: Connection, month: Month) -> Sequence[Generation]:
        assert connection is CONNECTION
        return archive.ledger[month]

    def tombstones(connection: Connection) -> Tombstones:
        assert connection is CONNECTION
        return archive.erased

    def standing_scopes(connection: Connection) -> list[HoldScope]:
        assert connection is CONNECTION
        return archive.scopes()

    def proven_ids(bucket: Bucket, of: Generation) -> ProvenIds:
        assert (bucket, of.month) == (BUCKET, MARCH)
        return archive.proven

    monkeypatch.setattr(plan, "read_tombstones", tombstones)
    monkeypatch.setattr(plan, "standing_scopes", standing_scopes)
    monkeypatch.setattr(plan, "proven_ids", proven_ids)
    monkeypatch.setattr(plan, "months_by_state", months_by_state)
    monkeypatch.setattr(plan, "generations", generations)
    monkeypatch.setattr(plan, "read_subjects", read_subjects)
    return archive


def of(*erased: tuple[str, UUID], until: datetime | None = None) -> Tombstones:
    """Tombstones of these kinds and ids."""
    return replace(NOTHING, subjects=dict.fromkeys(erased, until))


def single(erased_at: datetime, month: Month = MARCH, segment: UUID = SEGMENT) -> Tombstones:
    """The tombstone of a segment that was deleted by itself."""
    return replace(NOTHING, segments=(ErasedSegment(segment, month, erased_at),))


def test_a_month_that_holds_nothing_of_what_was_erased_has_no_plan(archive: Archive) -> None:
    assert archive.plans() == []
    archive.erased = of(("user", SEGMENT), ("family", SEGMENT), ("thread", SEGMENT))
    assert archive.plans() == []


@pytest.mark.parametrize("erased", [("user", AUTHOR), ("family", FAMILY), ("thread", THREAD)])
def test_content_is_found_by_its_author_its_family_or_its_thread(
    archive: Archive, erased: tuple[str, UUID]
) -> None:
    archive.erased = of(erased)
    assert archive.plans() == [ErasurePlan(MARCH, (generation(),), 3, ())]


@pytest.mark.parametrize(
    "erased", [("user", FAMILY), ("user", THREAD), ("family", AUTHOR), ("thread", AUTHOR)]
)
def test_an_id_is_looked_for_among_its_own_kind_alone(
    archive: Archive, erased: tuple[str, UUID]
) -> None:
    archive.erased = of(erased)
    assert archive.plans() == []


@pytest.mark.parametrize("erased", [("user", AUTHOR), ("family", FAMILY), ("thread", THREAD)])
@pytest.mark.parametrize(
    ("until", "as_of", "is_found"),
    [
        (AS_OF + SECOND, AS_OF, True),
        (AS_OF, AS_OF, False),
        (AS_OF + SECOND, None, False),
        (None, None, True),
    ],
)
def test_the_tombstone_of_an_id_in_use_again_is_about_what_was_archived_before(
    archive: Archive,
    until: datetime | None,
    as_of: datetime | None,
    is_found: bool,
    erased: tuple[str, UUID],
) -> None:
    archive.ledger = {MARCH: [generation(as_of=as_of)]}
    archive.erased = of(erased, until=until)
    assert bool(archive.plans()) == is_found


def test_what_is_to_be_done_follows_from_where_the_rows_are(archive: Archive) -> None:
    """Rewritten where the archive alone has them; else exported again, or collected."""
    archive.ledger[MARCH] = [
        generation(),
        generation(number=2, state="superseded"),
        generation(number=3),
        generation(number=4, state="frozen"),
        generation(number=5, state="frozen", origin="erasure"),
        generation(number=6, state="superseded"),
        generation(number=7, state="superseded", objects=()),
    ]
    for number in (2, 4, 5, 7):
        archive.subjects[MARCH, number] = [IndexedSubject(FAMILY, THREAD, AUTHOR, 10**number)]
    archive.erased = of(("family", FAMILY))
    [found] = archive.plans()
    assert [g.number for g in found.generations] == [1, 3]
    assert [g.number for g in found.renewed] == [4]
    assert [g.number for g in found.collected] == [2]
    assert found.segments == 3 + 10**4


def test_what_nothing_is_to_be_done_with_has_no_plan(archive: Archive) -> None:
    archive.ledger = {MARCH: [generation(state="frozen", origin="erasure")]}
    archive.erased = of(("family", FAMILY))
    assert archive.plans() == []
    archive.ledger = {MARCH: [generation(state="superseded")]}
    [found] = archive.plans()
    assert (found.generations, found.renewed, found.segments) == ((), (), 0)
    archive.ledger = {MARCH: [generation(state="frozen")]}
    [found] = archive.plans()
    assert (found.generations, len(found.renewed), found.segments) == ((), 1, 3)


def test_glacier_is_asked_for_nothing_where_only_the_database_has_what_was_erased(
    archive: Archive,
) -> None:
    archive.ledger[MARCH] += [generation(number=2, state="frozen")]
    archive.subjects[MARCH, 2] = [IndexedSubject(OTHER_FAMILY, OTHER_THREAD, SEGMENT, 1)]
    archive.erased = of(("user", SEGMENT))
    [found] = archive.plans()
    assert (found.generations, [g.number for g in found.renewed]) == ((), [2])


def test_a_generation_that_holds_none_of_it_is_told_from_one_that_does(archive: Archive) -> None:
    assert not holds_erased(BUCKET, generation(), of(("user", SEGMENT)))
    assert holds_erased(BUCKET, generation(), of(("user", AUTHOR)))


def test_segments_add_up_over_subjects_and_generations(archive: Archive) -> None:
    archive.ledger[MARCH] += [generation(number=2)]
    archive.subjects[MARCH, 2] = [IndexedSubject(FAMILY, OTHER_THREAD, AUTHOR, 20)]
    archive.erased = replace(
        of(("family", FAMILY), ("family", OTHER_FAMILY)), segments=single(AS_OF + SECOND).segments
    )
    [found] = archive.plans()
    # One that was deleted by itself counts in each that was exported before.
    assert found.segments == 3 + 1 + 20 + 2


@pytest.mark.parametrize(
    ("month", "erased_at", "as_of", "segments"),
    [
        (MARCH, AS_OF + SECOND, AS_OF, 1),
        (MARCH, AS_OF, AS_OF, 0),
        (MARCH, AS_OF - SECOND, AS_OF, 0),
        (APRIL, AS_OF + SECOND, AS_OF, 0),
        (MARCH, AS_OF + SECOND, None, 0),
    ],
)
def test_a_segment_that_was_deleted_by_itself_is_in_what_was_read_before(
    archive: Archive, month: Month, erased_at: datetime, as_of: datetime | None, segments: int
) -> None:
    archive.ledger = {MARCH: [generation(as_of=as_of)]}
    archive.erased = single(erased_at, month)
    assert [found.segments for found in archive.plans()] == [1] * segments


def test_where_the_proven_ids_are_listed_only_those_count(archive: Archive) -> None:
    listed = ("content_segments", UNITS)
    archive.ledger = {MARCH: [generation(objects=listed)]}
    archive.erased = single(AS_OF + SECOND)
    assert archive.plans() == []
    archive.proven = ProvenIds(frozenset({SEGMENT, FAMILY}), frozenset({(1, "a-b"), (0, "c-d")}))
    [found] = archive.plans()
    assert found.segments == 1
    # What an erased author wrote is counted by the list of subjects, with or without those ids.
    archive.erased = of(("user", AUTHOR))
    [found] = archive.plans()
    assert found.segments == 3
    # A shared row has no segment of its own, and a table that the archive lacks has none at all.
    archive.erased = replace(NOTHING, rows=frozenset({("content_links", "a-b")}))
    [found] = archive.plans()
    assert (found.segments, len(found.generations)) == (0, 1)
    for other in (("content_links", "c-d"), ("likes", "a-b"), ("content_segments", "a-b")):
        archive.erased = replace(NOTHING, rows=frozenset({other}))
        assert archive.plans() == []


@pytest.mark.parametrize(
    ("subject", "forbids"),
    [
        ({"month": date(2017, 3, 1)}, True),
        ({"month": date(2017, 4, 1)}, False),
        ({"family_id": FAMILY}, True),
        ({"family_id": OTHER_FAMILY}, False),
        ({"user_id": AUTHOR}, True),
        ({"user_id": OTHER_AUTHOR}, False),
        ({"thread_id": THREAD}, True),
        ({"thread_id": OTHER_THREAD}, False),
    ],
)
def test_a_hold_forbids_to_erase_what_it_is_on_and_nothing_else(
    archive: Archive, subject: dict[str, object], forbids: bool
) -> None:
    archive.erased = of(("thread", THREAD))
    archive.holds = [hold(1, **subject)]
    [found] = archive.plans()
    assert found.holds == ((str(archive.holds[0]),) if forbids else ())


def test_every_hold_in_the_way_is_named(archive: Archive) -> None:
    archive.erased = of(("thread", THREAD))
    archive.holds = [hold(1, family_id=FAMILY), hold(2, family_id=OTHER_FAMILY)]
    archive.holds += [hold(3, month=MARCH.first_day)]
    [found] = archive.plans()
    assert found.holds == (
        f"hold 1 on family {FAMILY} (a court asks)",
        "hold 3 on month 2017-03 (a court asks)",
    )


def test_a_hold_on_nobody_in_particular_forbids_nothing_to_who_has_no_family(
    archive: Archive,
) -> None:
    """Who only tagged is listed without a family: that is no family that two have in common."""
    archive.subjects[MARCH, 1] = [
        IndexedSubject(None, None, AUTHOR, 0),
        IndexedSubject(FAMILY, None, None, 0),
    ]
    archive.erased = of(("user", AUTHOR), ("family", FAMILY))
    archive.holds = [hold(1, user_id=OTHER_AUTHOR), hold(2, family_id=OTHER_FAMILY)]
    [found] = archive.plans()
    assert found.holds == ()


def test_of_whom_a_segment_was_that_was_deleted_by_itself_nobody_knows(archive: Archive) -> None:
    """So a hold on anybody in the list forbids to take it out."""
    archive.holds = [hold(1, family_id=OTHER_FAMILY), hold(2, family_id=SEGMENT)]
    archive.erased = single(AS_OF + SECOND)
    [found] = archive.plans()
    assert found.holds == (str(archive.holds[0]),)
    archive.erased = of(("family", FAMILY))
    [found] = archive.plans()
    assert found.holds == ()


def test_holds_are_asked_for_again_before_the_rows_are_taken_out(archive: Archive) -> None:
    archive.erased = of(("thread", THREAD))
    archive.subjects[APRIL, 1] = archive.subjects[MARCH, 1]
    both = [generation(), generation(APRIL)]
    assert holds_on_erasure(CONNECTION, BUCKET, both) == ()
    archive.holds = [hold(1, family_id=FAMILY), hold(2, month=APRIL.first_day)]
    archive.holds += [hold(3, family_id=OTHER_FAMILY)]
    assert holds_on_erasure(CONNECTION, BUCKET, both) == tuple(map(str, archive.holds[:2]))
    assert holds_on_erasure(CONNECTION, BUCKET, both[:1]) == (str(archive.holds[0]),)


@pytest.mark.parametrize("state", ["frozen", "purged", "superseded", "exported", "purging"])
def test_only_months_whose_objects_stay_are_looked_at(archive: Archive, state: State) -> None:
    archive.ledger = {APRIL: [generation(APRIL, state=state)]}
    archive.subjects[APRIL, 1] = archive.subjects[MARCH, 1]
    archive.erased = of(("user", AUTHOR))
    assert bool(archive.plans()) == (state in {"frozen", "purged", "superseded"})


def test_a_month_that_cannot_be_looked_at_is_told_in_its_place(archive: Archive) -> None:
    january = Month(2017, 1)
    for month in (APRIL, january):
        archive.ledger[month] = [generation(month)]
        archive.subjects[month, 1] = archive.subjects[MARCH, 1]
    archive.erased, archive.damaged = of(("user", AUTHOR)), {MARCH}
    first, unknown, last = archive.plans()
    assert (first.month, last.month) == (january, APRIL)
    problem = Failed("erasure of 2017-03", "the list: it is gone", "make it anew")
    assert unknown == ErasurePlan(MARCH, (), 0, (), problem=problem)


def test_tombstones_are_told_apart_by_their_kind() -> None:
    class Rows:
        """Answers by subjects and segments, then by shared rows, then by renamed tables."""

        def __init__(self) -> None:
            self.answers: list[list[tuple[object, ...]]] = [
                [
                    ("user", AUTHOR, None, AS_OF, False),
                    ("segment", SEGMENT, date(2017, 3, 1), AS_OF, False),
                    ("family", FAMILY, None, AS_OF, True),
                    ("user", OTHER_AUTHOR, None, AS_OF, False),
                ],
                [("content_links", "a-b"), ("links", "c-d")],
                [("content_links", "", "renamed", "links", None, AS_OF)],
            ]

        def execute(self, statement: object) -> Rows:
            assert statement is not None
            return self

        def fetchall(self) -> list[tuple[object, ...]]:
            return self.answers.pop(0)

    found = read_tombstones(cast(Connection, Rows()))
    assert found.today("content_links") == "links"
    assert found == Tombstones(
        {("user", AUTHOR): None, ("family", FAMILY): AS_OF, ("user", OTHER_AUTHOR): None},
        (ErasedSegment(SEGMENT, MARCH, AS_OF),),
        frozenset({("links", "a-b"), ("links", "c-d")}),
    )


def test_what_links_lead_to_is_known_where_they_are_listed_and_name_their_segments() -> None:
    """A row that leads to a segment through another table's does not say to which."""
    to_segment = Hop(("source_id",), KEYS, ("id",))
    to_narration = Hop(("narration_id",), "photo_narrations", ("id",))
    straight: tuple[Path, ...] = ((to_segment,), (to_segment,))
    around: tuple[Path, ...] = ((to_segment,), (to_narration, to_segment))

    def listed(paths: tuple[Path, ...], *objects: str, of_type: str = "uuid") -> bool:
        found = generation(objects=objects)
        segments, links = found.require_content()
        columns = (Column("source_id", of_type, True), Column("narration_id", "uuid", True))
        content = Content((segments, replace(links, paths=paths, columns=columns)))
        return is_listed(replace(found, content=content))

    assert listed(straight, "content_segments", "content_links", ENDS)
    assert not listed(straight, "content_segments", "content_links")
    assert not listed(around, "content_segments", "content_links", ENDS)
    assert not listed(straight, "content_segments", "content_links", ENDS, of_type="a domain")
    # Of earlier versions, without links.
    assert listed(straight, "content_segments")
