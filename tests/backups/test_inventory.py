"""What counts as a backup is what exists, is whole, is ours, and has a point to restore to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from ft_ops.backups import newest_verified_backup
from ft_ops.backups.barman.catalog import (
    BackupInfo,
    Copies,
    Folder,
    catalog,
    parse_list,
    wal_deletions,
)
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import Inventory, take_inventory
from ft_ops.backups.provider import Taken
from ft_ops.backups.retention.deletion import delete_backups, deletions
from ft_ops.backups.retention.retention import Rules, plan_retention
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.s3.objects import Listed, objects
from tests.backups.world import Standing, World

RULES = Rules(days=7, weeks=4, months=12, floor=1, stale=timedelta(hours=48))
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _inventory(world: World) -> Inventory:
    return take_inventory(
        world.connection,
        world.provider,
        world.bucket,
        now=datetime.now(UTC),
        log=lambda line: None,
    )


def _believe(world: World, name: str) -> None:
    ledger.pass_drill(
        world.connection,
        ledger.begin_drill(world.connection, name, name, "tests"),
        restored_to=datetime.now(UTC),
        recovery_seconds=1,
        loss_seconds=1,
        certificate={},
    )


def test_what_disappears_does_not_count_until_it_is_back(standing: Standing) -> None:
    """Deleted behind our back: it does not count, and a gate does not rely on it."""
    world, name = standing.world, standing.full.point.name
    _believe(world, name)
    with world.removed(world.key("data.tar.lz4")):
        assert [item.name for item in _inventory(world).broken] == [name]
        assert newest_verified_backup(world.connection) is None
    assert _inventory(world).broken == []
    assert newest_verified_backup(world.connection) is not None


def test_a_ledger_that_knows_nothing_adopts_what_is_whole(standing: Standing) -> None:
    """The bucket says what there is, but not what is proven."""
    world, full, increment = standing.world, standing.full, standing.increment
    _believe(world, full.point.name)
    world.connection.execute("TRUNCATE ops.restore_drills, ops.backups")
    adopted = _inventory(world)
    assert [(item.name, item.problem, item.trust) for item in adopted.items] == [
        (full.point.name, None, "unproven"),
        (increment.point.name, None, "unproven"),
    ]
    assert ledger.read_point(world.connection, full.point.name) == full.point


@pytest.mark.chaos
def test_a_backups_life_from_taken_to_deleted(world: World) -> None:
    first = world.full()
    increment = world.increment()
    found = _inventory(world)
    assert [(item.name, item.problem) for item in found.items] == [
        (first.point.name, None),
        (increment.point.name, None),
    ]
    _held_and_released(world)

    world.write()
    second = world.full()
    _believe(world, second.point.name)
    _refused_to_break_a_chain(world, first, second)
    chosen = _let_go_of_all_but(world, second.point.name)
    assert chosen == {first.point.name, increment.point.name}
    left = _inventory(world)
    assert [item.name for item in left.items] == [second.point.name]
    keys = {stored.key for stored in objects(world.bucket, "")}
    assert not any(first.stored.provider_id in key or increment.point.name in key for key in keys)
    # What it needs of the log stayed.
    assert world.provider.log_state(world.connection, left.first_wal).problems == ()


def _held_and_released(world: World) -> None:
    item = _inventory(world).items[0]
    assert item.stored is not None
    world.provider.hold(item.stored)
    assert _inventory(world).items[0].is_held
    with pytest.raises(OpsError, match="has a current keep request"):
        world.provider.delete(item.stored, [], lambda line: None)
    world.provider.release(item.stored)
    assert not _inventory(world).items[0].is_held


def _refused_to_break_a_chain(world: World, first: Taken, second: Taken) -> None:
    """A backup of another cluster in the folder makes barman's idea of "before" wrong."""
    stored = {backup.name: backup for backup in world.provider.stored_backups()}
    older = replace(stored[second.point.name], begins_at_wal="000000010000000000000001")
    with pytest.raises(Refused, match="a backup that stays needs it from 000000010000000000000001"):
        world.provider.delete(stored[first.point.name], [older], lambda line: None)
    assert first.point.name in {backup.name for backup in world.provider.stored_backups()}


def _let_go_of_all_but(world: World, name: str) -> set[str]:
    """Age everything else until no rule keeps it, and apply the plan."""
    world.connection.execute(
        "UPDATE ops.backups SET point_at = point_at - interval '40 days' WHERE name <> %s", (name,)
    )
    listed = _inventory(world)
    plan = plan_retention(listed.candidates, RULES, listed.taken_at)
    chosen = deletions(listed, plan, RULES)
    delete_backups(
        world.connection, world.provider, world.bucket, listed, chosen, lambda line: None
    )
    return {deletion.item.name for deletion in chosen}


def test_an_unreadable_bucket_is_named(world: World) -> None:
    boto3.client("s3").create_bucket(Bucket="unversioned")
    with pytest.raises(OpsError, match="bucket unversioned: it is not versioned"):
        open_bucket("unversioned")
    with pytest.raises(OpsError, match="bucket nowhere: HeadBucket was refused: 404"):
        open_bucket("nowhere")


def _info(backup_id: str, status: str = "DONE", systemid: str = "1") -> BackupInfo:
    return BackupInfo(
        backup_id=backup_id,
        backup_name=f"full-{backup_id}",
        status=status,
        error="disk full" if status == "FAILED" else None,
        systemid=systemid,
        begin_wal="000000010000000000000005",
        end_wal="000000010000000000000006",
        begin_time_iso=NOW,
    )


def _folder(*names: str) -> Folder:
    return Folder({name: Listed(name, "etag", 10, "STANDARD", NOW) for name in names})


def test_what_is_not_whole_or_not_ours_is_named(bucket: Bucket) -> None:
    whole = _folder("backup.info", "data.tar.lz4")
    found = catalog(
        [
            _info("a"),
            _info("b"),
            _info("c", "FAILED"),
            _info("d", "STARTED"),
            _info("e", "DONE", "2"),
        ],
        {
            "a": whole,
            "b": _folder("backup.info"),
            "c": whole,
            "d": whole,
            "e": whole,
            "f": _folder("data.tar.lz4"),
            "g": _folder("backup.info"),
        },
        None,
        bucket=bucket,
        base="main/base/",
        system_identifier="1",
        segment_bytes=16 << 20,
    )
    assert [(backup.condition, backup.problem) for backup in found] == [
        ("complete", None),
        ("damaged", "its objects data.tar are missing"),
        ("failed", "disk full"),
        ("unfinished", "its status is STARTED"),
        ("foreign", "it is of the cluster 2, this one is 1"),
        ("unfinished", "1 objects and no backup.info: its upload died"),
        ("damaged", "its backup.info can't be read"),
    ]


def test_a_copy_lacks_what_was_not_replicated(bucket: Bucket) -> None:
    whole = _folder("backup.info", "data.tar.lz4")
    first, last = (f"00000001000000000000000{number}" for number in (5, 6))

    def problem(copy: Folder, *wal: str) -> str | None:
        (found,) = catalog(
            [_info("a")],
            {"a": whole},
            Copies(bucket, {"a": copy}, wal),
            bucket=bucket,
            base="main/base/",
            system_identifier="1",
            segment_bytes=16 << 20,
        )
        assert found.replica is not None
        return found.replica.problem

    assert problem(whole, first, last) is None
    # A base backup without the log that was written meanwhile can't be restored.
    assert problem(whole, first) == f"WAL is missing there: {last}"
    half = _folder("backup.info")
    assert problem(half, first, last) == "data.tar.lz4 missing or of another size"


def test_another_answer_of_barman_is_named() -> None:
    with pytest.raises(OpsError, match="its answer is not understood"):
        parse_list('{"backups_list": [{"backup_id": 7}]}')


def test_what_barman_would_delete_of_the_log_is_read_from_its_dry_run() -> None:
    shown = (
        "Skipping deletion of objects ['b/main/base/2/data.tar', 'b/main/base/2/backup.info'] "
        "due to --dry-run option\n"
        "Skipping deletion of all objects under prefix b/main/wals/0000000100000001/ "
        "due to --dry-run option\n"
        "Skipping deletion of objects ['b/main/wals/0000000100000002/000000010000000200000003.gz']"
    )
    assert [segment.name for segment in wal_deletions(shown, 16 << 20)] == [
        "0000000100000001000000FF",
        "000000010000000200000003",
    ]
