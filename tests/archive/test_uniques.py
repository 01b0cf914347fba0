"""A UNIQUE or EXCLUDE constraint that came after a purge: what it keeps out is named."""

from __future__ import annotations

from dataclasses import replace
from typing import LiteralString

import pytest

from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.thaw.thaw import load
from ft_ops.errors import Refused
from tests.archive.test_identity import dying
from tests.archive.test_schema_changes import _alter, _declare, _scalars
from tests.archive.world import MONTH, World, sizes


def _thaw_aloud(world: World) -> tuple[dict[str, int], list[str]]:
    said: list[str] = []
    thaw = load(replace(world.run, log=said.append), world.ask())
    return dict(thaw.left_out or {}), [line for line in said if "still in the archive" in line]


def test_segments_that_a_constraint_keeps_out_are_named_and_come_back_once_values_are_declared(
    world: World,
) -> None:
    made = world.fill(segments=8)
    _alter(world, "ADD COLUMN slug text")
    world.archived_and_purged()
    _alter(world, "ADD UNIQUE NULLS NOT DISTINCT (slug, created_at)")
    left_out, [line] = _thaw_aloud(world)
    assert left_out == {"segments: another row has their values": 7}
    came = _scalars(world, "SELECT id FROM archived_content_segments")
    assert [str(segment) in line for segment in made] == [segment not in came for segment in made]
    # What they are called stays taken.
    assert world.count("ops.purged_segments") == 7
    world.refreeze()
    _declare(world, "slug", "value", value="id::text")
    assert world.thaw().left_out == {}
    assert sizes(world.rows()) == [8, 3, 3, 2]


@pytest.mark.parametrize(
    ("constraint", "left_out"),
    [
        (
            "content_tags ADD CONSTRAINT one UNIQUE (tag_name)",
            {
                "tags: another row has their key": 2,
                "segments: something that belongs to them can not come back": 2,
            },
        ),
        pytest.param(
            "content_tags ADD CONSTRAINT one EXCLUDE (tag_name WITH =)",
            {
                "tags: another row has their key": 2,
                "segments: something that belongs to them can not come back": 2,
            },
            marks=pytest.mark.chaos,
        ),
        pytest.param(
            "content_links ADD CONSTRAINT one UNIQUE (link_type)",
            {"links: another row has their key": 1},
            marks=pytest.mark.chaos,
        ),
    ],
)
def test_rows_of_other_tables_that_a_constraint_keeps_out_are_named(
    world: World, constraint: LiteralString, left_out: dict[str, int]
) -> None:
    world.fill(segments=8)
    world.archived_and_purged()
    world.connection.execute(f"ALTER TABLE {constraint}")
    found, [line] = _thaw_aloud(world)
    assert found == left_out
    assert "another row has their key" in line
    assert line.count("-") >= 4 * min(left_out.values())
    world.refreeze()
    table = constraint.partition(" ")[0]
    world.connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT one")
    assert world.thaw().left_out == {}


@pytest.mark.parametrize(
    "columns",
    [
        "content_tags ADD CONSTRAINT one UNIQUE (tag_name)",
        pytest.param(
            "content_links ADD CONSTRAINT one UNIQUE (link_type)", marks=pytest.mark.chaos
        ),
    ],
)
def test_a_constraint_that_may_be_deferred_lets_a_month_in_or_names_the_row(
    world: World, columns: LiteralString
) -> None:
    """ON CONFLICT knows no such constraint: nothing is passed over."""
    world.fill(segments=8)
    world.archived_and_purged()
    table = columns.partition(" ")[0]
    world.connection.execute(f"ALTER TABLE {columns} DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(Refused, match=r"constraint \"one\" DETAIL.*\)=\(.*NOT DEFERRABLE"):
        world.thaw()
    assert world.count("content_segment_keys") == 0
    world.connection.execute(
        f"ALTER TABLE {table} DROP CONSTRAINT one,"
        " ADD CONSTRAINT one UNIQUE (id, created_at) DEFERRABLE INITIALLY DEFERRED"
    )
    assert world.thaw().left_out == {}
    assert sizes(world.rows()) == [8, 3, 3, 2]
    assert world.refreeze().next is None
    assert open_thaw(world.connection, MONTH) is None


def test_a_lone_months_row_that_a_new_constraint_does_not_take_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(segments=8)
    with dying(monkeypatch, "move.move._attach"):
        world.move()
    _alter(world, "ADD UNIQUE (thread_id, created_at)")
    with pytest.raises(Refused, match=r"unique index .* Key \(thread_id, created_at\)=\(.*there"):
        world.move()
    for parent, constraint in (
        ("content_segments", "content_segments_thread_id_created_at_key"),
        ("archived_content_segments", "archived_content_segments_thread_id_created_at_key"),
    ):
        world.connection.execute(f"ALTER TABLE {parent} DROP CONSTRAINT {constraint}")
    assert world.move().generation.state == "archived"
