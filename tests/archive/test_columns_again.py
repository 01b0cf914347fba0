"""A column that was dropped and added again under its name: no old value comes into it unasked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ft_ops.archive.purge.purge import purge_month
from ft_ops.errors import OpsError, Refused
from tests.archive.test_identity import dying
from tests.archive.test_schema_changes import _alter, _declare, _scalars
from tests.archive.world import MONTH, World

DECLARED = {
    "another": ("dropped", {}, "new"),
    "the same": ("renamed", {"new_name": "mood"}, "calm"),
    "made of it": ("value", {"value": "upper(mood)"}, "CALM"),
}


def _in_the_archive(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    world.archived_and_purged()
    return world.thaw


def _moving(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    with dying(monkeypatch, "move.move._attach"):
        world.move()
    return world.move


def _coming_back(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    world.archived_and_purged()
    with dying(monkeypatch, "thaw.thaw._attach"):
        world.thaw()
    return world.thaw


def _leaving(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Some of its rows are removed, and the purge was stopped."""
    world.archive()
    world.verified_backup()
    throttle = world.throttle()
    calls = 0

    def give_up() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise OpsError("throttled work", cause="a small query took 90 ms", next_step="later")

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
        patch.setattr(type(throttle), "wait", lambda self: give_up())
        with pytest.raises(OpsError, match="throttled"):
            purge_month(world.run, world.plan(), throttle)
    return world.purge


WHERE = {
    "in the archive": _in_the_archive,
    "moving": _moving,
    "coming back": _coming_back,
    "leaving": _leaving,
}
NORMAL = {("in the archive", "another"), ("moving", "the same")}


@pytest.mark.parametrize(
    ("where", "declared"),
    [
        pytest.param(
            where, declared, marks=() if (where, declared) in NORMAL else pytest.mark.chaos
        )
        for where in WHERE
        for declared in DECLARED
    ],
)
def test_whether_old_values_belong_into_a_column_of_the_same_name_is_asked(
    world: World, where: str, declared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    world.fill(segments=24)
    step = WHERE[where](world, monkeypatch)
    _alter(world, "DROP COLUMN mood")
    _alter(world, "ADD COLUMN mood text DEFAULT 'new'")
    with pytest.raises(Refused, match=r"another column called mood.*change 'renamed', new_name"):
        step()
    change, values, becomes = DECLARED[declared]
    _declare(world, "mood", change, **values)
    step()
    assert _scalars(world, "SELECT DISTINCT mood FROM archived_content_segments") == [becomes]
    if where in {"in the archive", "coming back"}:
        world.refreeze()
    else:
        world.freeze()
        world.verified_backup()
        world.purge()
    world.thaw()
    assert world.count("archived_content_segments") == 24


def test_a_month_that_has_followed_its_parent_keeps_its_new_values(world: World) -> None:
    """The declaration is of the columns of that time: not of what was written since."""
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    world.fill(segments=4)
    _alter(world, "DROP COLUMN mood")
    _alter(world, "ADD COLUMN mood text DEFAULT 'new'")
    world.archive()
    world.verified_backup()
    _declare(world, "mood", "dropped")
    assert world.plan().decision == "purge"
    world.purge()
    assert world.connection.execute("SELECT count(*) FROM ops.lone_columns").fetchone() != (0,)
    world.connection.execute("DELETE FROM ops.column_changes")
    assert world.thaw(MONTH).left_out == {}
    assert _scalars(world, "SELECT DISTINCT mood FROM archived_content_segments") == ["new"]


def test_a_proven_month_whose_column_became_another_is_exported_again(world: World) -> None:
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    world.fill(segments=4)
    world.archive()
    world.verified_backup()
    _alter(world, "DROP COLUMN mood")
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    assert world.plan().changed == ("content_segments has another column called mood",)
