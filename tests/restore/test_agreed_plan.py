"""Who agrees to a plan gets just that plan, or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ft_ops.errors import Refused
from ft_ops.restore import Decisions
from tests.restore.world import World

UNDO = Decisions(overwrite_changed=True)


def test_the_plan_that_was_agreed_to_is_applied(world: World) -> None:
    before = world.family(0)
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        world.execute("UPDATE memory_books SET title = 'newer' WHERE id = %s", world.books[0])
        agreed = world.restore(copy, decisions=UNDO, apply=False).digest
        # Two looks at the same are the same plan, and what others do elsewhere is no part of it.
        world.execute("DELETE FROM content_tags WHERE content_segment_id = %s", world.segments[-1])
        assert world.restore(copy, decisions=UNDO, apply=False).digest == agreed
        done = world.restore(copy, decisions=replace(UNDO, agreed=agreed))
        assert (done.digest, done.overwrites) == (agreed, 1)
    assert world.family(0) == before


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("DELETE FROM content_tags WHERE content_segment_id = %s", "segment"),
        ("UPDATE memory_books SET title = 'newer still' WHERE id = %s", "book"),
        ("UPDATE content_segments SET text_content = 'newer' WHERE id = %s", "segment"),
        ("DELETE FROM threads WHERE id = %s", "thread"),
    ],
    ids=["a row is gone, too", "what is overwritten changed again", "a row changed", "a thread"],
)
def test_what_came_in_between_makes_it_another_plan(world: World, statement: str, key: str) -> None:
    keys = {"segment": world.segments[1], "book": world.books[0], "thread": world.threads[1]}
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        world.execute("UPDATE memory_books SET title = 'newer' WHERE id = %s", world.books[0])
        agreed = world.restore(copy, decisions=UNDO, apply=False).digest
        world.execute(statement, keys[key])
        damaged = world.family(0)
        with pytest.raises(Refused, match=f"the plan {agreed} was agreed to, and today's is"):
            world.restore(copy, decisions=replace(UNDO, agreed=agreed))
        assert world.family(0) == damaged


def test_another_choice_is_another_plan(world: World) -> None:
    with world.copied() as copy:
        world.execute("DELETE FROM family_invites WHERE family_id = %s", world.families[0])
        plans = {
            world.restore(copy, decisions=decisions, apply=False).digest
            for decisions in (Decisions(), UNDO, Decisions(removed_members=True))
        }
    assert len(plans) == 3
