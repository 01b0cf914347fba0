"""What goes by a month's own table keeps it from being dropped, and is named before a removal."""

from __future__ import annotations

from typing import LiteralString

import pytest

from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.errors import Refused
from tests.archive.world import World

VIEW: LiteralString = "CREATE VIEW report AS SELECT id FROM content_segments_2017_03"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        pytest.param(VIEW, "view report", id="view"),
        *(
            pytest.param(statement, said, id=said, marks=pytest.mark.chaos)
            for statement, said in (
                ("CREATE TABLE odd (line content_segments_2017_03)", "column line of table odd"),
                (
                    "CREATE TABLE odd (lines content_segments_2017_03[])",
                    "column lines of table odd",
                ),
                (
                    (
                        "CREATE FUNCTION told() RETURNS bool RETURN EXISTS"
                        " (TABLE content_segments_2017_03)"
                    ),
                    "function told()",
                ),
            )
        ),
    ],
)
def test_it_shuts_the_gate_by_name(world: World, statement: LiteralString, said: str) -> None:
    world.fill(segments=8)
    world.connection.execute(statement)
    world.archive()
    world.verified_backup()
    (refusal,) = world.plan().refusals
    assert refusal == (
        f"tables of content: {said} goes by public.archived_content_segments_2017_03: drop it, or "
        "let it read archived_content_segments"
    )


@pytest.mark.chaos
def test_nothing_of_a_months_own_shuts_it(world: World) -> None:
    """Indexes, defaults, checks, foreign keys, policies and triggers go with their table."""
    world.fill(segments=8)
    world.connection.execute("ALTER TABLE content_segments_2017_03 ENABLE ROW LEVEL SECURITY")
    world.connection.execute("CREATE POLICY own ON content_segments_2017_03 USING (id IS NOT NULL)")
    world.connection.execute("CREATE INDEX own ON content_segments_2017_03 (lower(text_content))")
    world.connection.execute("CREATE VIEW all_of_it AS SELECT id FROM archived_content_segments")
    assert world.archived_and_purged().state == "purged"


@pytest.mark.usefixtures("begins_archived")
def test_one_that_comes_during_the_purge_is_named_and_the_next_run_ends_it(world: World) -> None:
    made = world.filled
    world.verified_backup()
    world.connection.execute(
        "UPDATE archived_content_segments SET view_count = 1 WHERE id = %s", (made[0],)
    )
    plan = plan_purge(world.run, world.standing())
    world.connection.execute(VIEW.replace("content_segments_", "archived_content_segments_"))
    with pytest.raises(Refused, match=r"view report goes by .* drop that") as refused:
        purge_month(world.run, plan, world.throttle())
    assert "archived_content_segments_2017_03 alone" in refused.value.next_step
    world.connection.execute("DROP VIEW report")
    purge = world.purge()
    assert purge.next is not None
    assert world.connection.execute("SELECT id FROM archived_content_segments").fetchall() == [
        (made[0],)
    ]


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_purged")
def test_a_thawed_months_is_named_before_it_is_taken_out(world: World) -> None:
    world.thaw()
    world.connection.execute(VIEW.replace("content_segments_", "archived_content_segments_"))
    with pytest.raises(Refused, match="view report goes by"):
        world.refreeze()
    assert world.count("archived_content_segments") == 8
