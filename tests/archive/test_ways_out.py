"""Whatever was begun can be ended: cancelled, asked for again, or put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ft_ops.archive.cancellation import cancel
from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.hold.holds import add_hold, release_hold
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.thaws import Thaw, open_thaw
from ft_ops.archive.purge.purge import purge_month
from ft_ops.archive.store import freeze
from ft_ops.archive.thaw.thaw import answer, load
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.objects import copy_to_class
from tests.archive.world import MONTH, RULES, World

THAW = "ft_ops.archive.thaw.thaw"


class Died(Exception):
    """A process ends here."""


def _die(*_: object, **__: object) -> None:
    raise Died


def _states(world: World) -> list[str]:
    return [g.state for g in generations(world.connection, MONTH)]


def _purged(world: World) -> dict[str, list[tuple[object, ...]]]:
    """A purged month; its rows as they were."""
    world.fill()
    world.archive()
    rows = world.rows()
    world.verified_backup()
    world.purge()
    return rows


def test_a_copy_that_expired_before_it_was_loaded_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 says nothing of a restore any more once its copy has expired."""
    rows = _purged(world)
    asked = world.ask()
    monkeypatch.setattr(f"{THAW}.Insertion.insert", _die)
    with pytest.raises(Died):
        load(world.run, asked)
    monkeypatch.undo()
    client: Any = world.bucket.client
    head, restore = client.head_object, client.restore_object
    requests: list[str] = []

    def head_object(**names: Any) -> Any:
        found = head(**names)
        if names["Key"] not in requests:
            found.pop("Restore", None)
        return found

    def restore_object(**names: Any) -> Any:
        requests.append(names["Key"])
        return restore(**names)

    monkeypatch.setattr(client, "head_object", head_object)
    monkeypatch.setattr(client, "restore_object", restore_object)
    stuck = open_thaw(world.connection, MONTH)
    assert stuck is not None
    assert (stuck.state, answer(world.connection, world.target, stuck)) == ("loading", "expired")
    assert load(world.run, world.ask()).state == "thawed"
    assert len(requests) == 4
    assert world.rows() == rows


def _restoring(world: World, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    return world.ask()


def _loading(world: World, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    monkeypatch.setattr(f"{THAW}.Insertion.insert", _die)
    return _dead_thaw(world, monkeypatch)


def _loaded(world: World, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    monkeypatch.setattr(f"{THAW}._attach", _die)
    return _dead_thaw(world, monkeypatch)


def _thawed(world: World, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    return world.thaw()


def _refreezing(world: World, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    world.thaw()
    monkeypatch.setattr("ft_ops.archive.thaw.refreeze.settle", _die)
    with pytest.raises(Died):
        world.refreeze()
    return _still_open(world, monkeypatch)


def _dead_thaw(world: World, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    with pytest.raises(Died):
        world.thaw()
    return _still_open(world, monkeypatch)


def _still_open(world: World, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    monkeypatch.undo()
    thaw = open_thaw(world.connection, MONTH)
    assert thaw is not None
    return thaw


@pytest.mark.parametrize(
    "begun",
    [
        _restoring,
        _loading,
        pytest.param(_loaded, marks=pytest.mark.chaos),
        pytest.param(_thawed, marks=pytest.mark.chaos),
        _refreezing,
    ],
    ids=lambda f: f.__name__,
)
def test_a_thaw_is_cancelled_from_any_state_and_the_month_can_be_thawed_again(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    begun: Callable[[World, pytest.MonkeyPatch], Thaw],
) -> None:
    rows = _purged(world)
    state = begun(world, monkeypatch).state
    assert state == begun.__name__[1:]
    cancel(world.run, MONTH)
    if state not in {"restoring", "loading"}:
        assert world.refreeze().next is None, "as at the end of any thaw"
    assert open_thaw(world.connection, MONTH) is None
    assert world.count("content_segment_keys") == 0
    assert world.thaw().left_out == {}
    assert world.rows() == rows


def test_a_thaw_goes_on_in_a_database_that_was_dumped_and_restored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table that it has made, and filled with nothing yet, has another oid there."""
    world.fill()
    before = world.rows(segments="content_segments_2017_03")
    world.archived_and_purged()
    _loading(world, monkeypatch)
    world.connection.execute("UPDATE ops.thaws SET relation = 4000000000")
    assert load(world.run, _still_open(world, monkeypatch)).state == "thawed"
    assert world.rows() == before


def test_a_month_that_a_dead_run_was_taking_out_is_not_said_to_be_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table stands alone: nobody reads it, and a thaw of it has nothing to do."""
    rows = _purged(world)
    _refreezing(world, monkeypatch)
    assert world.rows() != rows
    with pytest.raises(Refused, match="is being taken out of the database"):
        world.thaw()
    world.refreeze()
    world.thaw()
    assert world.rows() == rows


def test_what_is_not_under_way_can_not_be_cancelled(world: World) -> None:
    _purged(world)
    with pytest.raises(Refused, match="neither a thaw nor an erasure"):
        cancel(world.run, MONTH)


@pytest.mark.parametrize(
    "died_in",
    [
        pytest.param("export_month", marks=pytest.mark.chaos),
        "prove_month",
        pytest.param("freeze_month", marks=pytest.mark.chaos),
    ],
)
def test_a_half_written_erasure_is_cancelled_and_begun_anew(
    world: World, monkeypatch: pytest.MonkeyPatch, died_in: str
) -> None:
    _purged(world)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    monkeypatch.setattr(f"ft_ops.archive.proof.workflow.{died_in}", _die)
    with pytest.raises(Died):
        erase_month(world.run, world.ask(purpose="erasure", days=1))
    monkeypatch.undo()
    cancel(world.run, MONTH)
    assert _states(world) == ["purged", "superseded"]
    assert world.thaw().left_out == {"segments: thread erased": 10}
    assert world.refreeze().next is None
    done = erase_month(world.run, world.ask(purpose="erasure", days=1))
    (rewritten,) = done.generations
    assert (rewritten.number, rewritten.rows["content_segments"]) == (3, 30)
    assert _states(world) == ["superseded", "superseded", "purged"]


def _interrupted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge that stops after some batches: the month stands alone."""
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    throttle = world.throttle()
    calls = 0

    def suffer(_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OpsError("throttled work", cause="a replica lags", next_step="run again")

    monkeypatch.setattr(type(throttle), "wait", suffer)
    with pytest.raises(OpsError, match="a replica lags"):
        purge_month(world.run, world.plan(), throttle)
    monkeypatch.undo()
    assert 0 < world.count("content_segment_keys") < 40
    assert world.count("archived_content_segments") == 0


@pytest.mark.parametrize(
    "why",
    [
        "a hold",
        pytest.param("a longer retention", marks=pytest.mark.chaos),
        pytest.param("purges switched off", marks=pytest.mark.chaos),
    ],
)
@pytest.mark.usefixtures("begins_archived")
def test_a_half_purged_month_is_put_back_when_it_may_not_go_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    rows = world.rows()
    world.verified_backup()
    _interrupted(world, monkeypatch)
    left = world.count("content_segment_keys")
    hold = None
    if why == "a hold":
        hold = add_hold(world.connection, month=MONTH, reason="case 42")
    elif why == "a longer retention":
        world.rules = replace(RULES, retention_years=1000)
    else:
        world.rules = replace(RULES, purge_enabled=False)
    assert world.plan().decision == "put back"
    back = world.purge()
    assert back.stopped
    assert world.count("archived_content_segments") == left, "what is left can be read again"
    assert _states(world) == ["purged", "archived"]
    world.rules = RULES
    if hold is not None:
        release_hold(world.connection, hold.id, "settled")
    world.archived_and_purged()
    assert world.thaw().left_out == {}
    assert world.rows() == rows


@pytest.mark.usefixtures("begins_archived")
def test_a_purge_that_has_not_removed_anything_is_undone_without_a_trace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = world.rows()
    world.verified_backup()
    monkeypatch.setattr("ft_ops.archive.purge.purge.remove_content", _die)
    with pytest.raises(Died):
        purge_month(world.run, world.plan(), world.throttle())
    monkeypatch.undo()
    world.rules = replace(RULES, purge_enabled=False)
    world.purge()
    assert (_states(world), world.rows()) == (["frozen"], rows)


@pytest.mark.usefixtures("begins_archived")
def test_a_hold_that_is_placed_during_a_purge_ends_it_at_the_next_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.verified_backup()
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    throttle = world.throttle()
    calls = 0

    def hold_once(_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            add_hold(world.connection, user_id=world.users[0], reason="case 42")

    monkeypatch.setattr(type(throttle), "wait", hold_once)
    purge = purge_month(world.run, world.plan(), throttle)
    assert "case 42" in purge.stopped or "hold" in purge.stopped
    assert world.count("archived_content_segments") == 40 - purge.segments
    assert purge.next is not None


def test_a_freeze_that_was_half_done_when_the_class_changed_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is frozen stays where it is; the rest goes where the settings say now."""
    world.fill()
    world.move()
    calls = 0

    def slow_down(*names: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OpsError("copy", cause="SlowDown", next_step="run again")
        return copy_to_class(*names)

    monkeypatch.setattr(freeze, "copy_to_class", slow_down)
    with pytest.raises(OpsError, match="SlowDown"):
        world.freeze()
    monkeypatch.undo()
    world.rules = replace(RULES, storage_class="GLACIER_IR")
    frozen = world.freeze()
    classes = [item.stored.storage_class for item in frozen.parts()]
    assert (frozen.state, classes) == ("frozen", ["DEEP_ARCHIVE", *["GLACIER_IR"] * 3])
    world.verified_backup()
    assert world.purge().generation.state == "purged"
    assert world.thaw().left_out == {}


@pytest.mark.parametrize("purpose", ["thaw", "erasure"])
def test_late_rows_wait_for_what_is_done_to_their_months_older_generations(
    world: World, purpose: str
) -> None:
    """They become no generation under a thaw, and an erasure takes none for its own."""
    _purged(world)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    asked = world.ask(purpose="erasure" if purpose == "erasure" else "thaw", days=1)
    world.month(MONTH)
    late = [world.segment(thread=1, sequence=1000 + n) for n in range(5)]
    with pytest.raises(Refused, match=f"late rows wait in .* {purpose} "):
        world.move()
    if purpose == "erasure":
        done = erase_month(world.run, asked)
        assert done.generations[0].rows["content_segments"] == 30
    else:
        load(world.run, asked)
        world.refreeze()
    world.archived_and_purged()
    world.thaw()
    assert world.count("archived_content_segments") == 35
    assert {row[0] for row in world.rows()["content_segments"]} >= set(late)


def test_a_refreeze_of_what_has_not_come_yet_says_so(world: World) -> None:
    """Not that a table is gone: nobody has to look for it."""
    _purged(world)
    world.ask()
    with pytest.raises(Refused, match="its state is restoring: there is nothing yet to take out"):
        world.refreeze()
