"""What legal holds hold in archives, by the lists beside each generation.

The subjects are those of the day of the export: who was moved, renamed or erased since is held as
the archive knows him.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar
from uuid import UUID

from ft_ops.archive.erase.held_links import (
    HeldLinks,
    KnownHere,
    held_links,
    known_here,
    living_ends,
    unlisted_months,
)
from ft_ops.archive.erase.scope import HoldScope, Kept, itself, kept_with, standing_scopes
from ft_ops.archive.hold.holds import HeldSubject, LegalHold, active_holds, one_hold
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import all_latest, generations
from ft_ops.archive.run import Run
from ft_ops.archive.store.content_index import read_subjects
from ft_ops.archive.store.unit_lists import has_unit_lists
from ft_ops.errors import Refused
from ft_ops.items import Failed, Worked, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Search:
    """What a search of the archives has found that has to stay for a hold.

    By the kind of subject, and whether all of it is held; ``months`` hold anything held. It says
    so of the ``stored`` generations and of the ``scope``, and by what the database said of the
    ``threads`` that they hold, and ``beyond`` them. What ``failed`` may have hidden more.
    """

    scope: HoldScope
    stored: Sequence[Generation]
    threads: frozenset[UUID]
    known: KnownHere
    beyond: Beyond
    found: Sequence[tuple[str, bool, Sequence[UUID]]]
    months: Sequence[Month]
    worked: Worked[Kept]

    def is_of(self, connection: Connection, scope: HoldScope, stored: Sequence[Generation]) -> bool:
        """Whether another search would find the same: lists are written once.

        Of a user never: what months have of him that stand alone is known once the hold stands.
        """
        return (
            scope.hold.user_id is None
            and scope.threads == self.scope.threads
            and stored == self.stored
            and known_here(connection, scope.hold, self.threads) == self.known
            and living_ends(connection, self.beyond.ends) == self.beyond.living
        )


def search_before(connection: Connection, bucket: Bucket, subject: HeldSubject) -> Search:
    """Search the archives for what a hold would hold that is about to be placed.

    So that from its first moment nobody can delete what archives alone have of it.
    """
    month = subject["month"]
    hold = LegalHold(
        0,
        None if month is None else month.first_day,
        subject["family_id"],
        subject["book_id"],
        subject["thread_id"],
        subject["user_id"],
        reason="",
        placed_by="",
        placed_at=datetime.now(UTC),
        released_by=None,
        released_at=None,
        release_reason=None,
        archived_months=None,
        archives_read_at=None,
        unlisted_months=None,
    )
    rows = connection.execute(
        statement("archive/threads_to_be_held"),
        {"family": hold.family_id, "book": hold.book_id},
    ).fetchall()
    scope = HoldScope(hold, frozenset(thread for (thread,) in rows) | itself(hold))
    return _search(connection, bucket, scope, list(_all_generations(connection)))


def record_archived(
    connection: Connection, bucket: Bucket, hold: LegalHold, before: Search | None = None
) -> LegalHold:
    """Search every archive for what a standing hold holds, and record what has to stay for it.

    From then on the threads and authors of what is held can't be deleted, nor such a thread be
    moved, although their content is in the archive alone. The same is true of what held links lead
    to. Reads two small STANDARD objects a generation, unless a search ``before`` says the same, and
    writes down the months, too. A list that can't be read keeps what the others say from nothing,
    and the search stays open: SomeFailed. So it does where something has come into the hold since.
    """
    # First: what comes after it may not be in the scope.
    [[arrivals]] = connection.execute(
        statement("archive/arrivals_in_hold"), {"id": hold.id}
    ).fetchall()
    scope = next((s for s in standing_scopes(connection) if s.hold.id == hold.id), None)
    if scope is None:
        return hold  # it was released since
    stored = list(_all_generations(connection))
    if before is None or not before.is_of(connection, scope, stored):
        before = _search(connection, bucket, scope, stored)
    with connection.transaction():
        for kind, whole, ids in before.found:
            connection.execute(
                statement("archive/record_archived_subjects"),
                {"kind": kind, "hold": hold.id, "whole": whole, "ids": ids},
            )
        # Only a whole search counts as one.
        recorded = (
            None if before.worked.failed else _record_months(connection, hold, arrivals, before)
        )
    connection.execute(statement("archive/analyze_held"))
    before.worked.refuse_failures(f"search of the archives for {hold}")
    return recorded or hold


def _search(
    connection: Connection, bucket: Bucket, scope: HoldScope, stored: Sequence[Generation]
) -> Search:
    read = _each(stored, lambda g: kept_with(scope, g, list(read_subjects(bucket, g))))
    threads = _threads_held(scope, read.results, stored)
    listed = [found.generation for found in read.results if found.held]
    known = known_here(connection, scope.hold, threads)
    links = held_links(bucket, scope.hold, known, stored, listed)
    beyond = _beyond(connection, bucket, links.results, stored)
    kept = [subject for found in read.results for subject in (*found.held, *found.beside)]
    kept_threads = {s.thread_id for s in kept if s.thread_id is not None}
    authors = {s.user_id for s in kept if s.user_id is not None}
    is_whole = scope.hold.kind in {"family", "book", "thread"}
    return Search(
        scope,
        stored,
        threads,
        known,
        beyond,
        (
            ("thread", is_whole, sorted(kept_threads)),
            # What the hold itself holds whole is written down as it is placed.
            ("thread", False, sorted(beyond.threads - kept_threads - scope.threads)),
            ("user", False, sorted((authors | beyond.users) - {scope.hold.user_id})),
            ("end", False, sorted(beyond.ends)),
        ),
        sorted({found.generation.month for found in read.results if found.held}),
        Worked(read.done, (*read.failed, *links.failed, *beyond.failed)),
    )


def _threads_held(
    scope: HoldScope, found: Iterable[Kept], stored: Iterable[Generation]
) -> frozenset[UUID]:
    """The threads whose segments are held, or may be: the lists of subjects name no segments.

    None for a month: what was proven is listed segment by segment, but for earlier versions.
    """
    of_month = [g for g in stored if g.month.first_day == scope.hold.month and g.state == "purged"]
    if scope.hold.month is not None and all(map(has_unit_lists, of_month)):
        return frozenset()
    held = (subject.thread_id for one in found for subject in one.held)
    return scope.threads.union(thread for thread in held if thread is not None)


@dataclass(frozen=True, slots=True)
class Beyond:
    """What has to stay because held links lead to it.

    ``living`` are the threads and the authors of these ends, as the database says.
    """

    ends: Set[UUID]
    living: tuple[Set[UUID], Set[UUID]]
    users: Set[UUID]
    failed: tuple[Failed, ...]

    @property
    def threads(self) -> Set[UUID]:
        return self.living[0]


def _beyond(
    connection: Connection,
    bucket: Bucket,
    links: Iterable[HeldLinks],
    stored: Sequence[Generation],
) -> Beyond:
    """The threads and the authors of what held links lead to, and who made these links.

    An archived segment's author is not known by its id: all stay who wrote in its thread.
    """
    links = list(links)
    ends = {end for found in links for end in found.ends}
    makers = {maker for found in links for maker in found.makers}
    threads, living = living_ends(connection, ends)
    read = _each(
        stored if threads else (),
        lambda g: {s.user_id for s in read_subjects(bucket, g) if s.thread_id in threads},
    )
    authors = {author for found in read.results for author in found if author is not None}
    return Beyond(ends, (threads, living), makers | authors | living, read.failed)


def _each(stored: Iterable[Generation], work: Callable[[Generation], T]) -> Worked[T]:
    return each(stored, work, name=lambda g: f"subjects of {g.name}")


def _record_months(
    connection: Connection, hold: LegalHold, arrivals: int | None, search: Search
) -> LegalHold | None:
    return one_hold(
        connection,
        "archive/record_archived_months",
        {
            "id": hold.id,
            "arrivals": arrivals,
            "months": [month.first_day for month in search.months],
            "unlisted": [month.first_day for month in unlisted_months(search.stored)],
        },
    )


def search_unsearched(run: Run) -> Worked[LegalHold]:
    """Search the archives for each standing hold that nobody has searched them for yet.

    A bucket that could not be asked, or a hold that was placed by SQL, has left it so, or what was
    moved into a held family, book or thread. They are searched again once what links lead to was
    listed of a month of which it was not.
    """
    standing = active_holds(run.connection)
    unlisted: set[date] = set()
    if any(hold.unlisted_months for hold in standing):
        stored = _all_generations(run.connection)
        unlisted = {month.first_day for month in unlisted_months(stored)}
    unsearched = [
        hold
        for hold in standing
        if hold.archived_months is None or not unlisted.issuperset(hold.unlisted_months or ())
    ]
    return each(
        unsearched,
        lambda hold: record_archived(run.connection, run.bucket, hold),
        name=lambda hold: f"search of the archives for {hold}",
        log=run.log,
    )


def search_for_all(run: Run, what: str) -> None:
    """Search for every standing hold before ``what``; Refused while one of them is not searched.

    It may have been placed meanwhile, or something has come into it: then no search counts yet.
    """
    search_unsearched(run).refuse_failures(f"legal holds on {what}")
    refuse_unsearched(run.connection, what)


def refuse_unsearched(connection: Connection, what: str) -> None:
    """Refused while the archives are not searched for a hold that stands."""
    unsearched = [str(h) for h in active_holds(connection) if h.archived_months is None]
    if unsearched:
        raise Refused(
            what,
            cause=f"the archives are not searched yet for {'; '.join(unsearched)}: it was placed, "
            "or something has come into it, meanwhile",
            next_step="nothing was removed: run it again, which searches once more",
        )


def _all_generations(connection: Connection) -> Iterator[Generation]:
    for newest in all_latest(connection):
        yield from (g for g in generations(connection, newest.month) if g.objects)
