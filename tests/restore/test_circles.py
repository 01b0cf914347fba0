"""Tables of later migrations whose rows refer to each other in a circle."""

from __future__ import annotations

import pytest

from ft_ops.restore import Decisions
from tests.restore.test_any_damage import family
from tests.restore.test_other_times import ARCHIVE_JANUARY
from tests.restore.test_restore import reasons, states
from tests.restore.world import MONTHS, World


@pytest.fixture
def world(world: World) -> World:
    """A family has a first book, a book a cover out of it, and a segment one that it answers."""
    for table, column, parent in (
        ("families", "first_book_id", "memory_books"),
        ("memory_books", "cover_segment_id", "content_segment_keys"),
        ("content_segments", "answers_id", "content_segment_keys"),
        ("archived_content_segments", "answers_id", "content_segment_keys"),
    ):
        world.execute(
            f"ALTER TABLE {table} ADD COLUMN {column} uuid REFERENCES {parent} ON DELETE SET NULL"
        )
    world.execute(
        "UPDATE families SET first_book_id = %s WHERE id = %s", world.books[0], world.families[0]
    )
    for book in (0, 1):
        cover(world, book, 8 * book)
    for segment, answered in ((1, 0), (2, 3), (0, 2), (5, 7)):
        world.execute(
            "UPDATE content_segments SET answers_id = %s WHERE id = %s",
            world.segments[answered],
            world.segments[segment],
        )
    return world


def cover(world: World, book: int, segment: int) -> None:
    world.execute(
        "UPDATE memory_books SET cover_segment_id = %s WHERE id = %s",
        world.segments[segment],
        world.books[book],
    )


def test_all_of_a_circle_comes_back_across_two_tables_of_months(world: World) -> None:
    before = family(world, 0)
    with world.copied() as copy:
        for query in ARCHIVE_JANUARY:
            world.execute(query)
        world.execute("DELETE FROM families WHERE id = %s", world.families[0])
        decisions = Decisions(mistakes=frozenset({world.families[0]}), reason="the tests say so")
        plan = world.restore(copy, decisions=decisions)
        assert family(world, 0) == before
        assert plan.inserts == plan.rows
        user = world.restore(copy, kind="user", subject=world.users[0])
        assert (user.inserts, user.count("same")) == (0, user.rows)


def test_what_a_changed_row_refers_to_comes_first_and_what_stays_out_is_referred_to_by_none(
    world: World,
) -> None:
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[8])
        world.insert(
            "content_segments",
            thread_id=world.threads[2],
            user_id=world.users[0],
            content_type="text",
            sequence_number=0,
            created_at=MONTHS[0].start,
        )
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert states(plan, "memory_books") == {"changed": 2}
        assert states(plan, "content_segments") == {
            "changed": 1,
            "conflict": 1,
            "missing": 1,
            "same": 13,
        }
        assert reasons(plan, "memory_books") == []
        found = world.connection.execute(
            "SELECT cover_segment_id FROM memory_books WHERE id = ANY (%s) ORDER BY id = %s",
            (world.books[:2], world.books[1]),
        ).fetchall()
        assert found == [(world.segments[0],), (None,)]


def test_a_reference_that_was_emptied_or_set_since_makes_a_row_nobody_elses(world: World) -> None:
    """The one segment answers nothing any more, the other one answers something of its family."""
    before = family(world, 0)
    emptied, set_since, far = world.segments[1], world.segments[4], world.segments[3]
    change = "UPDATE content_segments SET answers_id = %s, text_content = 'new' WHERE id = %s"
    with world.copied() as copy:
        world.execute(change, None, emptied)
        world.execute(change, world.segments[0], set_since)
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert (plan.overwrites, reasons(plan, "content_segments")) == (2, [])
        assert family(world, 0) == before
        # What answers another family's segment now stays that.
        world.execute(change, world.segments[-1], far)
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert plan.overwrites == 0
        assert reasons(plan, "content_segments") == [
            "its segment is another family's now than in the copy"
        ]
