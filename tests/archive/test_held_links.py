"""A held link that archives alone have comes back with both of its ends: neither may be erased."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from ft_ops.archive.erase import held
from ft_ops.archive.erase.held import record_archived, search_before, search_unsearched
from ft_ops.archive.erase.held_links import held_links
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.hold.holds import (
    HeldSubject,
    LegalHold,
    active_holds,
    add_hold,
    add_searched_hold,
    release_hold,
)
from ft_ops.archive.hold.lines import hold_lines
from ft_ops.archive.store.content_index import ENDS
from ft_ops.commands.holds import hold as hold_command
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.schema.migrations import load_migrations, revert_migration, run_migrations
from tests.archive.test_holds import refused
from tests.archive.world import MONTH, NEXT, World

THREAD = "DELETE FROM threads WHERE id = %s"
USER = "DELETE FROM users WHERE id = %s"
BOOK = "DELETE FROM memory_books WHERE id = %s"
SEGMENT = "DELETE FROM {} WHERE id = %s"


@contextmanager
def searched(world: World, **subject: object) -> Iterator[LegalHold]:
    """A hold for which the archives were searched, for a block."""
    placed = add_hold(world.connection, reason="case 50", **subject)  # type: ignore[arg-type]
    yield record_archived(world.connection, world.bucket, placed)
    release_hold(world.connection, placed.id, "settled")


def book_of(world: World, thread: int) -> UUID:
    [[book]] = world.connection.execute(
        "SELECT memory_book_id FROM threads WHERE id = %s", (world.threads[thread],)
    ).fetchall()
    assert isinstance(book, UUID)
    return book


@pytest.mark.usefixtures("begins_parted")
def test_what_a_held_link_leads_to_in_another_archive_stays(world: World) -> None:
    """The archive of the first month alone has the link: it left before the other was exported."""
    one, two, three, other = world.threads
    for near, far, free in ((0, 3, three), (3, 0, two)):
        held = world.threads[near]
        subjects: tuple[dict[str, object], ...] = (
            {"thread_id": held},
            {"book_id": book_of(world, near)},
            {"family_id": world.families[near // 2]},
            {"user_id": world.users[near]},
            {"month": MONTH if near == 0 else NEXT},
        )
        for subject in subjects:
            with searched(world, **subject):
                assert refused(world.connection, THREAD, world.threads[far]), subject
                assert refused(world.connection, BOOK, book_of(world, far)), subject
                assert refused(world.connection, USER, world.users[far]), subject
                # Who made the link.
                assert refused(world.connection, USER, world.users[1]), subject
                assert not refused(world.connection, THREAD, free), subject
            assert not refused(world.connection, THREAD, world.threads[far]), subject
    with searched(world, user_id=world.users[1]):
        assert refused(world.connection, THREAD, one)
        assert refused(world.connection, THREAD, other)
        assert not refused(world.connection, THREAD, three)


@pytest.mark.usefixtures("begins_linked")
def test_a_living_end_of_a_held_link_is_neither_deleted_nor_moved(world: World) -> None:
    [[other]] = world.connection.execute(
        "SELECT id FROM content_segments WHERE thread_id = %s", (world.threads[3],)
    ).fetchall()
    moved = "UPDATE content_segments SET thread_id = %s, sequence_number = 900 WHERE id = %s"
    with searched(world, thread_id=world.threads[0]):
        for table in ("content_segments", "content_segment_keys"):
            query = SEGMENT.format(table)
            assert refused(world.connection, query, other)
        assert refused(world.connection, moved, world.threads[2], other)
        assert refused(world.connection, USER, world.users[3])
        # It is not held itself.
        edited = "UPDATE content_segments SET text_content = 'x', sequence_number = 901"
        assert not refused(world.connection, f"{edited} WHERE id = %s", other)
        world.archived_and_purged(NEXT)
        assert world.count("content_segment_keys") == 0
        assert refused(world.connection, THREAD, world.threads[3])
        # Its own archive came later, and does not have the link.
        world.thaw(NEXT)
        assert world.count("content_links") == 0
        query = SEGMENT.format("archived_content_segments")
        assert refused(world.connection, query, other)
        world.refreeze(NEXT)
        world.thaw(MONTH)
        # It waits for its other end, which is away.
        assert (world.count("content_links"), world.count("ops.waiting_rows")) == (0, 1)
        assert refused(world.connection, THREAD, world.threads[3])
        world.thaw(NEXT)
        assert world.count("content_links") == 1
    assert not refused(world.connection, query, other)


def test_who_attached_something_to_held_content_stays_and_what_it_is_attached_to(
    world: World,
) -> None:
    """A list of subjects does not say to which segment a tag belongs: all of the family stays."""
    world.month(MONTH)
    world.children(world.segment(thread=0), user=3)
    world.segment(thread=2)
    world.archived_and_purged()
    with searched(world, thread_id=world.threads[0]):
        assert refused(world.connection, USER, world.users[3])
    with searched(world, thread_id=world.threads[2]):
        assert not refused(world.connection, USER, world.users[3])
    with searched(world, user_id=world.users[3]):
        assert refused(world.connection, THREAD, world.threads[0])
        assert not refused(world.connection, THREAD, world.threads[2])
        assert not refused(
            world.connection, "UPDATE threads SET title = 'x' WHERE id = %s", world.threads[0]
        )


@pytest.mark.usefixtures("begins_linked")
def test_a_hold_says_of_which_months_it_is_not_known_what_links_lead_to(world: World) -> None:
    """Earlier versions wrote no list. Once there is one, the archives are searched again."""
    [[objects]] = world.connection.execute("SELECT objects::text FROM ops.archive").fetchall()
    world.connection.execute(
        "UPDATE ops.archive SET objects = (SELECT jsonb_agg(o) FROM jsonb_array_elements(objects)"
        " AS o WHERE o ->> 'table' <> %s)",
        (ENDS,),
    )
    add_hold(world.connection, thread_id=world.threads[0], reason="case 51")
    (found,) = search_unsearched(world.run).results
    assert found.unlisted_months == [MONTH.first_day]
    assert f"which may be deleted: {MONTH}" in "\n".join(hold_lines(world.connection, found))
    assert not refused(world.connection, THREAD, world.threads[3])
    assert not search_unsearched(world.run).done
    world.connection.execute("UPDATE ops.archive SET objects = %s", (objects,))
    (found,) = search_unsearched(world.run).results
    assert found.unlisted_months == []
    assert "not known" not in "\n".join(hold_lines(world.connection, found))
    assert refused(world.connection, THREAD, world.threads[3])
    assert not search_unsearched(world.run).done


def test_what_was_erased_before_is_not_taken_from_a_hold_by_its_links_and_tags(
    world: World,
) -> None:
    """Neither who tagged it or made its link, nor what its link leads to, nor that link itself."""
    one, _ = world.two_linked()
    world.children(one, user=3)
    near = world.segment(NEXT, thread=1)
    world.link(near, world.segment(NEXT, thread=2), user=1)
    world.archive(NEXT)
    world.connection.execute("DELETE FROM content_links WHERE source_segment_id = %s", (near,))
    for month in (MONTH, NEXT):
        world.archived_and_purged(month)
    first, second, third, fourth = world.threads
    nothing = "SELECT %s::uuid"
    cases: tuple[tuple[str, UUID, Month, dict[str, Any], bool], ...] = (
        (USER, world.users[3], MONTH, {"thread_id": first}, True),
        (USER, world.users[3], MONTH, {"thread_id": fourth}, False),
        (THREAD, first, MONTH, {"user_id": world.users[3]}, True),
        (USER, world.users[1], MONTH, {"thread_id": fourth}, True),
        (USER, world.users[1], MONTH, {"thread_id": third}, False),
        (THREAD, fourth, NEXT, {"thread_id": first}, True),
        (THREAD, third, NEXT, {"thread_id": first}, False),
        (nothing, first, NEXT, {"thread_id": second}, True),
    )
    for query, erased, month, subject, forbids in cases:
        with world.connection.transaction(force_rollback=True):
            world.connection.execute(query, (erased,))
            if query != nothing:
                world.connection.execute("DELETE FROM ops.erased_rows")
            placed = add_hold(world.connection, reason="case 52", **subject)
            record_archived(world.connection, world.bucket, placed)
            (plan,) = (
                found
                for found in plan_erasures(world.connection, world.bucket)
                if found.month == month
            )
            assert bool(plan.holds) == forbids, (query, month, subject)


@pytest.mark.usefixtures("begins_parted")
def test_a_hold_on_what_was_erased_knows_what_its_links_lead_to(world: World) -> None:
    """The database has forgotten the segments of an erased thread; the lists of proofs have not."""
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[0],))
    for subject in ({"family_id": world.families[0]}, {"thread_id": world.threads[0]}):
        with searched(world, **subject):
            assert refused(world.connection, THREAD, world.threads[3])
            assert not refused(world.connection, THREAD, world.threads[2])


@pytest.mark.usefixtures("begins_linked")
def test_a_release_during_the_search_leaves_nothing_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = add_hold(world.connection, thread_id=world.threads[0], reason="case 53")

    def released(*of: Any) -> Any:
        release_hold(world.connection, placed.id, "settled")
        return held_links(*of)

    with monkeypatch.context() as patch:
        patch.setattr(held, "held_links", released)
        record_archived(world.connection, world.bucket, placed)
    with searched(world, thread_id=world.threads[2]):
        assert not refused(world.connection, THREAD, world.threads[0])


@pytest.mark.usefixtures("begins_linked")
def test_a_release_while_others_are_searched_stops_none_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (
        add_hold(world.connection, thread_id=thread, reason="case 58")
        for thread in world.threads[:3]
    )

    def released(bucket: Any, hold: LegalHold, *of: Any) -> Any:
        if hold == first:
            release_hold(world.connection, second.id, "settled")
        return held_links(bucket, hold, *of)

    with monkeypatch.context() as patch:
        patch.setattr(held, "held_links", released)
        assert not search_unsearched(world.run).failed
    months = [hold.archived_months for hold in active_holds(world.connection)]
    assert months == [[MONTH.first_day], []]
    assert third.id in {hold.id for hold in active_holds(world.connection)}


def test_what_is_moved_into_a_hold_is_searched_for(world: World) -> None:
    """A thread, a book or a segment, whose links lead to what archives alone have."""
    world.month(MONTH)
    world.month(NEXT)
    away, near = world.segment(thread=3), world.segment(NEXT, thread=2)
    world.link(near, away, user=1)
    world.archived_and_purged(MONTH)
    books = (book_of(world, 0), book_of(world, 2))
    far, into = world.threads[3], world.threads[0]
    moves: tuple[tuple[str, dict[str, UUID]], ...] = (
        (f"UPDATE threads SET memory_book_id = '{books[0]}' WHERE id = %s", {"book_id": books[0]}),
        (
            f"UPDATE memory_books SET family_id = '{world.families[0]}' WHERE id = %s",
            {"family_id": world.families[0]},
        ),
        (
            f"UPDATE content_segments SET thread_id = '{into}', sequence_number = 70 WHERE id = %s",
            {"thread_id": into},
        ),
    )
    for (query, subject), moved in zip(moves, (world.threads[2], books[1], near), strict=True):
        with world.connection.transaction(force_rollback=True), searched(world, **subject) as of:
            # Its own content is not searched for: it is new.
            world.connection.execute(
                "INSERT INTO threads (memory_book_id, started_by) VALUES (%s, %s)",
                (books[0], world.users[0]),
            )
            assert not search_unsearched(world.run).done, subject
            world.connection.execute(query, (moved,))
            # What comes in while the archives are being searched is searched for once more.
            assert record_archived(world.connection, world.bucket, of).archived_months is not None
            world.connection.execute("SELECT ops.search_again(%s)", (of.id,))
            assert len(search_unsearched(world.run).done) == 1, subject
            assert refused(world.connection, THREAD, far), subject


def test_what_comes_in_one_transaction_is_noted_once(world: World) -> None:
    """Each time is another version of the hold's row, and another record for the bucket."""
    world.month(MONTH)
    for _ in range(6):
        world.segment(thread=2)
    move = (
        "UPDATE content_segments SET thread_id = %s, sequence_number = sequence_number + 70"
        " WHERE thread_id = %s AND sequence_number BETWEEN %s AND %s"
    )
    ends = (world.threads[0], world.threads[2])
    with searched(world, thread_id=world.threads[0]) as of:
        for first, last, arrivals in ((1, 3, 1), (4, 6, 2)):
            [[before]] = world.connection.execute(
                "SELECT count(*) FROM ops.unshipped_records"
            ).fetchall()
            with world.connection.transaction():
                for each in range(first, last + 1):
                    with world.connection.transaction():
                        world.connection.execute(move, (*ends, each, each))
            [[found, noted]] = world.connection.execute(
                "SELECT arrivals, (SELECT count(*) FROM ops.unshipped_records)"
                " FROM ops.legal_holds WHERE id = %s AND archived_months IS NULL",
                (of.id,),
            ).fetchall()
            assert (found, noted - before) == (arrivals, 1)
            assert record_archived(world.connection, world.bucket, of).archived_months == []


@pytest.mark.usefixtures("begins_linked")
def test_what_arrives_during_a_search_is_searched_for_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = add_hold(world.connection, book_id=book_of(world, 0), reason="case 54")

    move = "UPDATE threads SET memory_book_id = %s WHERE id = %s"
    arrivals = iter(
        (
            (move, (book_of(world, 0), world.threads[2])),
            ("SELECT ops.search_again(%s)", (placed.id,)),
        )
    )

    def moved(*of: Any) -> Any:
        world.connection.execute(*next(arrivals))
        return held_links(*of)

    with monkeypatch.context() as patch:
        patch.setattr(held, "held_links", moved)
        assert record_archived(world.connection, world.bucket, placed).archived_months is None
        with pytest.raises(Refused, match="something has come into"):
            held.search_for_all(world.run, "an erasure")
    (found,) = search_unsearched(world.run).results
    assert found.archived_months == [MONTH.first_day]


def test_a_search_without_an_end_keeps_no_hold_from_being_placed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    over = threading.Event()
    monkeypatch.setattr("ft_ops.archive.search_before", lambda *_: over.wait(20))
    monkeypatch.setattr("ft_ops.commands.holds.SEARCH_SECONDS", 0.1)
    monkeypatch.setenv("FT_DATABASE_URL", world.database.url)
    monkeypatch.setenv("FT_ARCHIVE_BUCKET", world.bucket.name)
    add = ("add", "--thread", str(world.threads[0]), "--reason", "a lawsuit")
    said = CliRunner().invoke(hold_command, add)
    over.set()
    assert said.exit_code == 0, said.output
    assert "placed without: no end after" in said.output
    assert [found.archived_months for found in active_holds(world.connection)] == [[]]


@pytest.mark.usefixtures("begins_linked")
def test_nothing_is_free_between_a_hold_and_the_search_for_it(world: World) -> None:
    """The archives are searched before it is placed, and again only where that has changed."""
    subject = HeldSubject(
        month=None, family_id=None, book_id=None, thread_id=world.threads[0], user_id=None
    )
    before = search_before(world.connection, world.bucket, subject)
    placed = add_searched_hold(
        world.connection, subject, before.found, reason="case 55", person=None, force=False
    )
    assert refused(world.connection, THREAD, world.threads[3])
    gone = replace(world.bucket, name="is-not-there")
    known = record_archived(world.connection, gone, placed, before)
    assert known.archived_months == [MONTH.first_day]
    release_hold(world.connection, placed.id, "settled")
    assert not refused(world.connection, THREAD, world.threads[3])


@pytest.mark.parametrize("moved", ["a segment", "an end"])
def test_what_is_moved_between_a_search_and_its_hold_is_searched_for(
    world: World, moved: str
) -> None:
    """No trigger tells of it: there was no hold yet."""
    world.month(MONTH)
    world.month(NEXT)
    away, near = world.segment(thread=0), world.segment(NEXT, thread=3)
    world.link(near, away, user=1)
    world.archived_and_purged(MONTH)
    of, into = (1, 1) if moved == "a segment" else (0, 2)
    subject = HeldSubject(
        month=None, family_id=None, book_id=None, thread_id=world.threads[of], user_id=None
    )
    before = search_before(world.connection, world.bucket, subject)
    world.connection.execute(
        "UPDATE content_segments SET thread_id = %s, sequence_number = 70 WHERE id = %s",
        (world.threads[into], near),
    )
    placed = add_searched_hold(
        world.connection, subject, before.found, reason="case 59", person=None, force=False
    )
    record_archived(world.connection, world.bucket, placed, before)
    kind, kept = ("end", away) if moved == "a segment" else ("thread", world.threads[into])
    [[found]] = world.connection.execute(
        "SELECT count(*) FROM ops.held_subjects WHERE (kind, id) = (%s, %s)", (kind, kept)
    ).fetchall()
    assert found == 1


def test_a_search_that_finds_all_counts_after_one_that_found_a_part(world: World) -> None:
    """The list that says so could not be read before."""
    world.month(MONTH)
    world.month(NEXT)
    world.segment(thread=2)
    world.archived_and_purged(MONTH)
    hot = world.segment(NEXT, thread=2)
    move = "UPDATE threads SET memory_book_id = %s WHERE id = %s"
    world.connection.execute(move, (book_of(world, 0), world.threads[2]))
    placed = add_searched_hold(
        world.connection,
        HeldSubject(
            month=None, family_id=world.families[1], book_id=None, thread_id=None, user_id=None
        ),
        [("thread", False, [world.threads[2]])],
        reason="case 60",
        person=None,
        force=False,
    )
    assert not refused(world.connection, SEGMENT.format("content_segments"), hot)
    record_archived(world.connection, world.bucket, placed)
    assert refused(world.connection, SEGMENT.format("content_segments"), hot)


@pytest.mark.usefixtures("begins_linked")
@pytest.mark.parametrize("kind", ["user", "thread"])
def test_what_a_search_has_found_in_part_is_held_whole(world: World, kind: str) -> None:
    """Archives have content of him who is held, or of a thread that has come into the hold."""
    hot = world.segment(NEXT, thread=0)
    subject = HeldSubject(
        month=None,
        family_id=world.families[0] if kind == "thread" else None,
        book_id=None,
        thread_id=None,
        user_id=world.users[0] if kind == "user" else None,
    )
    before = search_before(world.connection, world.bucket, subject)
    assert before.months == [MONTH]
    part = world.users[0] if kind == "user" else world.threads[0]
    for found in (before.found, [*before.found, (kind, False, [part])], [(kind, False, [part])]):
        placed = add_searched_hold(
            world.connection, subject, found, reason="case 56", person=None, force=False
        )
        assert refused(world.connection, SEGMENT.format("content_segments"), hot)
        release_hold(world.connection, placed.id, "settled")
    assert not refused(world.connection, SEGMENT.format("content_segments"), hot)


def test_a_hold_that_was_held_in_part_becomes_whole_by_its_migration(world: World) -> None:
    world.month(MONTH)
    own = world.segment(thread=0)
    subject = HeldSubject(
        month=None, family_id=None, book_id=None, thread_id=None, user_id=world.users[0]
    )
    known = load_migrations()
    reverted = revert_migration(world.connection, known)
    while reverted is not None and reverted.version > 106:
        reverted = revert_migration(world.connection, known)
    part = [("user", False, [world.users[0]])]
    placed = add_searched_hold(
        world.connection, subject, part, reason="case 57", person=None, force=False
    )
    assert record_archived(world.connection, world.bucket, placed).archived_months == []
    assert not refused(world.connection, SEGMENT.format("content_segments"), own)
    run_migrations(world.connection, known)
    assert refused(world.connection, SEGMENT.format("content_segments"), own)
    (found,) = search_unsearched(world.run).results
    assert found.archived_months == []


@pytest.mark.usefixtures("begins_parted")
def test_a_hold_on_an_erased_book_holds_its_threads(world: World) -> None:
    book = book_of(world, 0)
    world.connection.execute(BOOK, (book,))
    subject = HeldSubject(month=None, family_id=None, book_id=book, thread_id=None, user_id=None)
    assert search_before(world.connection, world.bucket, subject).months == [MONTH]
    with searched(world, book_id=book) as held_book:
        assert held_book.archived_months == [MONTH.first_day]
        assert refused(world.connection, THREAD, world.threads[3])
        (plan,) = plan_erasures(world.connection, world.bucket)
        assert plan.holds == (str(held_book),)


def test_a_hold_on_an_erased_book_that_stood_before_gets_its_threads_by_a_migration(
    world: World,
) -> None:
    book = book_of(world, 0)
    world.connection.execute(BOOK, (book,))
    known = load_migrations()
    reverted = revert_migration(world.connection, known)
    while reverted is not None and reverted.version > 103:
        reverted = revert_migration(world.connection, known)
    world.connection.execute(
        "INSERT INTO ops.legal_holds (book_id, reason, placed_by) VALUES (%s, 'case 62', 'me')",
        (book,),
    )
    held_threads = "SELECT id FROM ops.held_subjects WHERE kind = 'thread' AND whole"
    assert not world.connection.execute(held_threads).fetchall()
    run_migrations(world.connection, known)
    found = world.connection.execute(held_threads).fetchall()
    assert {thread for (thread,) in found} == {*world.threads[:2]}
