"""A place that is another family's now takes nothing that was one family's in the copy."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from ft_ops.restore import Decisions
from ft_ops.restore.subject import Kind
from tests.restore.test_restore import reasons, states
from tests.restore.world import World

OVERWRITE = Decisions(overwrite_changed=True)
THREAD_MOVED = "its thread is another family's now than in the copy"
SEGMENT_MOVED = "its segment is another family's now than in the copy"


def move_thread(world: World, thread: UUID, book: UUID) -> None:
    world.execute("UPDATE threads SET memory_book_id = %s WHERE id = %s", book, thread)


def move_book(world: World, book: UUID, family: UUID) -> None:
    world.execute("UPDATE memory_books SET family_id = %s WHERE id = %s", family, book)


def everything(world: World) -> object:
    return [world.family(number) for number in range(2)]


@pytest.mark.parametrize("moves_the_book", [False, True])
def test_a_users_rows_stay_out_of_a_thread_that_was_moved_to_another_family(
    world: World, moves_the_book: bool
) -> None:
    author, thread = world.users[1], world.threads[0]
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[1])
        world.execute(
            "DELETE FROM photo_narrations WHERE content_segment_id = %s", world.segments[3]
        )
        world.execute(
            "UPDATE content_segments SET text_content = 'new' WHERE thread_id = %s", thread
        )
        if moves_the_book:
            move_book(world, world.books[0], world.families[1])
        else:
            move_thread(world, thread, world.books[2])
        now = everything(world)
        plan = world.restore(copy, kind="user", subject=author, decisions=OVERWRITE)
        assert (plan.inserts, plan.overwrites) == (0, 0)
        assert states(plan, "content_segments")["conflict"] == 1
        assert set(reasons(plan, "content_segments")) == {THREAD_MOVED}
        assert set(reasons(plan, "photo_narrations")) == {
            SEGMENT_MOVED,
            "its segment is in conflict",
        }
        assert everything(world) == now


def test_a_thread_that_was_moved_within_its_family_takes_them(world: World) -> None:
    before = world.family(0)["content_segments"]
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[1])
        move_thread(world, world.threads[0], world.books[1])
        plan = world.restore(copy, kind="user", subject=world.users[1])
        assert states(plan, "content_segments") == {"missing": 1, "same": 7}
        assert world.family(0)["content_segments"] == before


@pytest.mark.parametrize("kind", ["thread", "book"])
def test_what_was_moved_to_another_family_is_not_taken_back_from_it(
    world: World, kind: Kind
) -> None:
    """What that family has written there since would go along."""
    thread, book = world.threads[0], world.books[0]
    with world.copied() as copy:
        if kind == "thread":
            move_thread(world, thread, world.books[2])
        else:
            move_book(world, book, world.families[1])
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        world.segment(thread, world.users[2], 50)
        now = everything(world)
        subject = thread if kind == "thread" else book
        plan = world.restore(copy, kind=kind, subject=subject, decisions=OVERWRITE)
        assert (plan.inserts, plan.overwrites) == (0, 0)
        assert THREAD_MOVED in reasons(plan, "content_segments")
        assert everything(world) == now
        # A copy of after the move brings it back.
        assert plan.count("conflict") == 4


def test_a_membership_of_another_family_stays_what_it_is(world: World) -> None:
    with world.copied() as copy:
        world.execute(
            "UPDATE family_members SET family_id = %s WHERE user_id = %s",
            world.families[1],
            world.users[1],
        )
        plan = world.restore(copy, kind="user", subject=world.users[1], decisions=OVERWRITE)
        assert plan.overwrites == 0
        assert reasons(plan, "family_members") == ["it is another family's now than in the copy"]


def test_a_link_whose_other_end_was_moved_to_another_family_stays_out(world: World) -> None:
    over = world.link(world.segments[0], world.segments[4], world.users[0])
    across = world.link(world.segments[0], world.segments[16], world.users[0])
    with world.copied() as copy:
        world.execute("DELETE FROM content_links WHERE source_segment_id = %s", world.segments[0])
        move_thread(world, world.threads[1], world.books[2])
        others = world.family(1)
        plan = world.restore(copy)
        assert reasons(plan, "content_links") == [SEGMENT_MOVED]
        links = {row[0] for row in world.connection.execute("SELECT id FROM content_links")}
        # It led to another family in the copy already.
        assert across in links
        assert over not in links
        assert world.family(1) == others


def test_what_hangs_deeper_follows_its_place_in_tables_of_later_migrations_too(
    world: World,
) -> None:
    for query in (
        (
            "CREATE TABLE reactions (id uuid PRIMARY KEY, by uuid NOT NULL REFERENCES users (id),"
            " segment uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE)"
        ),
        (
            "CREATE TABLE replies (id uuid PRIMARY KEY, by uuid NOT NULL REFERENCES users (id),"
            " reaction uuid NOT NULL REFERENCES reactions (id) ON DELETE CASCADE)"
        ),
    ):
        world.execute(query)
    for segment in (world.segments[0], world.segments[8]):
        reaction = world.insert("reactions", id=uuid4(), segment=segment, by=world.users[0])
        world.insert("replies", id=uuid4(), reaction=reaction, by=world.users[1])
    with world.copied() as copy:
        world.execute("DELETE FROM replies")
        move_thread(world, world.threads[0], world.books[2])
        plan = world.restore(copy, kind="user", subject=world.users[1])
        assert states(plan, "replies") == {"conflict": 1, "missing": 1}
        assert reasons(plan, "replies") == [
            "its reactions is another family's now than in the copy"
        ]
