"""What was erased from the database leaves its archives too, unless a hold forbids it."""

from __future__ import annotations

import pytest

from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.hold.holds import add_hold
from ft_ops.archive.month.ledger import generations, latest, supersede
from ft_ops.s3.objects import versions
from tests.archive.world import MONTH, World


def _erase(world: World) -> None:
    erase_month(world.run, world.ask(purpose="erasure", days=1))


def _collect(world: World) -> int:
    return sum(remove_superseded(world.run).results)


def test_an_untouched_archive_needs_no_erasure(world: World) -> None:
    world.fill()
    world.archived_and_purged()
    assert plan_erasures(world.connection, world.bucket) == []


def test_an_erased_family_is_found_without_a_thaw_and_rewritten_away(world: World) -> None:
    world.fill()
    world.archived_and_purged()
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert (plan.month, plan.segments, plan.holds) == (MONTH, 20, ())
    _erase(world)
    assert [g.state for g in generations(world.connection, MONTH)] == ["superseded", "purged"]
    assert _collect(world) == 7
    left = {v.key for v in versions(world.bucket, "") if v.key.endswith(".parquet")}
    assert left
    assert all("/gen=2/" in key for key in left)
    assert plan_erasures(world.connection, world.bucket) == []
    newest = latest(world.connection, MONTH)
    assert newest is not None
    assert newest.rows["content_segments"] == 20


def test_the_rest_of_a_rewritten_month_thaws_as_it_was(world: World) -> None:
    world.fill()
    world.archive()
    kept = [row for row in world.rows()["content_segments"] if row[1] in world.threads[:2]]
    world.verified_backup()
    world.purge()
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    _erase(world)
    _collect(world)
    thaw = world.thaw()
    assert thaw.left_out == {}
    assert world.rows()["content_segments"] == kept


def test_an_erased_users_tags_and_narrations_on_others_content_go_too(world: World) -> None:
    segments = world.fill()
    world.children(segments[1], user=3)
    world.archived_and_purged()
    before = latest(world.connection, MONTH)
    world.connection.execute("DELETE FROM users WHERE id = %s", (world.users[3],))
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert plan.segments == 0
    _erase(world)
    after = latest(world.connection, MONTH)
    assert before is not None
    assert after is not None
    assert after.rows["content_tags"] == before.rows["content_tags"] - 1
    assert after.rows["photo_narrations"] == before.rows["photo_narrations"] - 1
    assert after.rows["content_segments"] == before.rows["content_segments"]


@pytest.mark.parametrize("held", ["month", "family"])
def test_a_hold_forbids_the_erasure_and_is_named(world: World, held: str) -> None:
    world.fill()
    world.archived_and_purged()
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    if held == "month":
        hold = add_hold(world.connection, month=MONTH, reason="a lawsuit")
    else:
        hold = add_hold(world.connection, family_id=world.families[1], reason="a lawsuit")
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert plan.holds == (str(hold),)


def test_a_superseded_generation_goes_only_when_a_frozen_one_replaces_it(world: World) -> None:
    world.fill()
    generation = world.archive()
    supersede(world.connection, generation, "changed", "test")
    assert _collect(world) == 0
    world.freeze()
    assert _collect(world) == 7
