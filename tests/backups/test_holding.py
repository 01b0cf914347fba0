"""What a person says of a backup by name, and what retention may delete because of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.backups.barman.wal import Segment
from ft_ops.backups.holding import (
    accept_hole,
    acknowledge_backup,
    discard_pieces,
    hold_backup,
    needs_a_look,
    release_backup,
)
from ft_ops.backups.inventory import ledger, verdicts
from ft_ops.backups.inventory.inventory import Inventory, Item, take_inventory
from ft_ops.backups.points.bucket_records import held_names, place_hold
from ft_ops.backups.providers import Workplace
from ft_ops.backups.retention.deletion import Deletion, delete_backups, deletions
from ft_ops.backups.retention.retention import Candidate, Rules, plan_retention
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, objects, versions
from ft_ops.settings import load_settings
from tests.backups.world import Standing, World

RULES = Rules(days=7, weeks=4, months=12, floor=1, stale=timedelta(days=1000))
LATER = datetime.now(UTC) + timedelta(days=40)
ME = {"by": "me@here", "reason": "tried"}
FRESH = Candidate("full-fresh", "full", datetime.now(UTC), "verified")


@pytest.fixture
def work(standing: Standing) -> Workplace:
    world = standing.world
    return Workplace(world.connection, world.provider, world.bucket, load_settings())


def _inventory(work: Workplace) -> Inventory:
    return take_inventory(
        work.connection, work.provider, work.bucket, now=LATER, log=lambda line: None
    )


def _item(work: Workplace, name: str) -> Item:
    return next(item for item in _inventory(work).items if item.name == name)


def _judge(work: Workplace, name: str, *, proven: bool) -> None:
    number = verdicts.begin_drill(work.connection, name, name, "tests")
    if not proven:
        verdicts.refute_drill(work.connection, number, "a row is missing", {})
        return
    verdicts.pass_drill(
        work.connection,
        number,
        restored_to=datetime.now(UTC),
        recovery_seconds=1,
        loss_seconds=1,
        certificate={},
    )


def _going(work: Workplace, *, days: int = 40) -> dict[str, str]:
    """What retention would delete, so many days from now, and why; nights since were good."""
    now = datetime.now(UTC) + timedelta(days=days)
    inventory = replace(_inventory(work), taken_at=now)
    plan = plan_retention([*inventory.candidates, FRESH], RULES, now)
    assert plan.refusal is None
    return {d.item.name: d.reason for d in deletions(inventory, plan, RULES)}


def test_a_hold_reaches_what_the_held_backup_needs(work: Workplace, standing: Standing) -> None:
    full, increment = standing.full.point.name, standing.increment.point.name
    now = datetime.now(UTC)
    assert hold_backup(work, increment, **ME, now=now) == [increment, full]
    assert set(held_names(work.bucket)) == {full, increment}
    assert all(_item(work, name).is_held for name in (full, increment))
    # barman knows it in its own way too.
    (stored,) = [b for b in work.provider.stored_backups() if b.name == full]
    assert stored.is_held
    with pytest.raises(Refused, match="it is held already"):
        hold_backup(work, full, **ME, now=now)
    with pytest.raises(Refused, match=f"{increment} is held and needs it"):
        release_backup(work, full, **ME, now=now)
    for name in (increment, full):
        release_backup(work, name, **ME, now=now)
        with pytest.raises(Refused, match="it is not held"):
            release_backup(work, name, **ME, now=now)
    assert not any(item.is_held for item in _inventory(work).items)
    with pytest.raises(Refused, match="knows no backup of that name"):
        hold_backup(work, "full-of-nobody", **ME, now=now)


def test_a_refuted_backup_goes_only_once_a_person_has_seen_it(
    work: Workplace, standing: Standing
) -> None:
    name = standing.full.point.name
    _judge(work, name, proven=True)
    with pytest.raises(Refused, match="nothing is known to be wrong with it"):
        acknowledge_backup(work, name, **ME, now=LATER)
    _judge(work, name, proven=False)
    assert needs_a_look(_item(work, name))
    assert name not in _going(work)
    assert acknowledge_backup(work, name, **ME, now=LATER) == "a row is missing"
    item = _item(work, name)
    assert item.is_acknowledged
    assert not needs_a_look(item)
    # Refuted again: that nobody has seen yet.
    _judge(work, name, proven=False)
    assert not _item(work, name).is_acknowledged
    _judge(work, name, proven=True)


def test_what_was_verified_and_is_out_of_sight_is_not_left_over(
    work: Workplace, standing: Standing
) -> None:
    """A backup.info hidden by mistake, and retention forty days later."""
    world, name = standing.world, standing.full.point.name
    _judge(work, name, proven=True)
    with world.removed(world.key("backup.info")):
        item = _item(work, name)
        assert item.problem is not None
        assert "no backup.info" in item.problem
        assert needs_a_look(item)
        assert _going(work) == {}
        acknowledge_backup(work, name, **ME, now=LATER)
        assert _going(work) == {name: "given up by me@here: tried"}
    # It is back: what was given up was something else.
    assert not _item(work, name).is_acknowledged
    assert _item(work, name).problem is None


@pytest.mark.chaos
def test_what_a_dead_run_left_goes_by_the_record_that_was_made_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """barman finished, and the run failed before it had its point."""
    work = Workplace(world.connection, world.provider, world.bucket, load_settings())

    def no_point(*_: object, **__: object) -> None:
        raise OpsError("restore point", cause="a lock", next_step="run again")

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.backups.barman.provider.take_point", no_point)
        with pytest.raises(OpsError, match="a lock"):
            world.full()
    (entry,) = ledger.entries(world.connection)
    assert entry.state == "failed"
    # It is known by what barman calls it, though barman has not said its name to the end.
    (stored,) = world.provider.stored_backups()
    assert (stored.provider_id, stored.condition) == (entry.provider_id, "complete")
    good = world.full().point.name
    _judge(work, good, proven=True)
    assert _going(work, days=6) == {}
    assert _going(work, days=8) == {
        entry.name: "left over: failed: restore point: a lock. Next: run again"
    }

    # The same pieces, unknown to the ledger: nobody deletes what nobody knows, until a person does.
    world.connection.execute("DELETE FROM ops.backups WHERE name = %s", (entry.name,))
    assert _going(work) == {}
    with pytest.raises(Refused, match="which the ledger knows"):
        discard_pieces(work, _item(work, good).stored.provider_id, **ME, now=LATER)  # type: ignore[union-attr]
    name = discard_pieces(work, stored.provider_id, **ME, now=LATER)
    assert _going(work) == {name: "given up by me@here: tried"}

    inventory = _inventory(work)
    plan = plan_retention([*inventory.candidates, FRESH], RULES, LATER)
    chosen = deletions(inventory, plan, RULES)
    done = delete_backups(
        work.connection, work.provider, work.bucket, inventory, chosen, lambda line: None
    )
    assert done.failed == ()
    assert not [o.key for o in objects(work.bucket, "") if stored.provider_id in o.key]
    assert [item.name for item in _inventory(work).items] == [good]
    assert world.provider.archived_log().problems(*_own_log(work, good)) == []


def test_a_hold_since_the_plan_was_made_stops_its_deletion(
    work: Workplace, standing: Standing
) -> None:
    name = standing.full.point.name
    inventory = _inventory(work)
    hold_backup(work, name, **ME, now=LATER)
    (item,) = [item for item in inventory.items if item.name == name]
    chosen = [Deletion(item, "no rule keeps it")]
    done = delete_backups(
        work.connection, work.provider, work.bucket, inventory, chosen, lambda line: None
    )
    release_backup(work, name, **ME, now=LATER)
    assert [failed.cause for failed in done.failed] == ["it is held since the plan was made"]
    assert _item(work, name).problem is None


def test_a_hold_and_a_deletion_of_the_same_moment_do_not_both_succeed(
    work: Workplace, standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = standing.full.point.name
    inventory = _inventory(work)
    (item,) = [item for item in inventory.items if item.name == name]

    def held_behind_the_look(bucket: Bucket) -> list[str]:
        found = held_names(bucket)
        if not found:
            hold_backup(work, name, **ME, now=LATER)
        return found

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.backups.retention.deletion.held_names", held_behind_the_look)
        done = delete_backups(
            work.connection,
            work.provider,
            work.bucket,
            inventory,
            [Deletion(item, "no rule keeps it")],
            lambda line: None,
        )
    assert [failed.cause for failed in done.failed] == ["it is held since the plan was made"]
    assert (_item(work, name).state, _item(work, name).problem) == ("complete", None)
    release_backup(work, name, **ME, now=LATER)

    def deleted_before(*arguments: object) -> None:
        ledger.set_state(work.connection, name, "deleting", "no rule keeps it")
        place_hold(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("ft_ops.backups.holding.place_hold", deleted_before)
    try:
        with pytest.raises(Refused, match="its deletion began at this moment"):
            hold_backup(work, name, **ME, now=LATER)
        assert held_names(work.bucket) == []
    finally:
        ledger.set_state(work.connection, name, "complete", None)


def test_a_hole_of_the_log_is_waited_for_until_a_person_accepts_it(
    work: Workplace, standing: Standing
) -> None:
    """An older full begins before it, which nobody gives up: nothing is wrong with that one."""
    name = standing.full.point.name
    begin = Segment.parse(str(standing.full.stored.begins_at_wal), work.provider.segment_bytes)  # type: ignore[attr-defined]
    since = replace(begin, number=begin.number - 4).name
    work.connection.execute(
        "INSERT INTO ops.backups (name, kind, provider, state, first_wal)"
        " VALUES ('full-before', 'full', 'barman', 'missing', %s)",
        (since,),
    )
    log = work.provider.archived_log()
    assert log is not None
    (lost,) = log.gaps(since)

    def accept(first: str, last: str) -> None:
        accept_hole(work, first, last, **ME, now=LATER)

    try:
        (hole,) = _inventory(work).holes
        assert f"{lost[0]} to {lost[1]} (" in hole
        _judge(work, name, proven=False)
        with pytest.raises(Refused, match="no full that begins behind it is proven"):
            accept(*lost)
        _judge(work, name, proven=True)
        for other in (lost[0], begin.name):
            with pytest.raises(Refused, match="there is no such hole"):
                accept(lost[0], other)
        accept(*lost)
        assert _inventory(work).holes == ()
        assert _going(work) == {}
        with pytest.raises(Refused, match="there is no such hole"):
            accept(*lost)
        told = work.connection.execute(
            "SELECT new_values ->> 'first' FROM audit_log WHERE action = 'log_hole_accepted'"
        )
        assert told.fetchall() == [(lost[0],)]
        # Another cluster that archives beside it has segments of the same names.
        theirs = replace(work.provider, system_identifier="7").archived_log()  # type: ignore[type-var]
        assert theirs is not None
        assert lost in theirs.gaps(since)
    finally:
        work.connection.execute("DELETE FROM ops.backups WHERE name = 'full-before'")
        for found in list(versions(work.bucket, "accepted-holes/")):
            delete_version(work.bucket, found.key, found.version_id)


def _own_log(work: Workplace, name: str) -> tuple[str, str]:
    (entry,) = [entry for entry in ledger.entries(work.connection) if entry.name == name]
    assert entry.first_wal is not None
    assert entry.mark_wal is not None
    return entry.first_wal, entry.mark_wal
