"""What counts as a backup is what exists, is whole, is ours, and has a point to restore to."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

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
from ft_ops.backups.inventory import ledger, verdicts
from ft_ops.backups.inventory.inventory import Inventory, first_wal, take_inventory
from ft_ops.backups.inventory.objectives import backups_verified
from ft_ops.backups.points.bucket_records import (
    hide_point,
    write_certificate,
    write_point,
    write_refutation,
)
from ft_ops.backups.provider import Log, Taken
from ft_ops.backups.retention.deletion import Deletion, delete_backups, plan_of
from ft_ops.backups.retention.retention import Rules
from ft_ops.backups.status import standings
from ft_ops.errors import OpsError, Refused
from ft_ops.items import SomeFailed
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.s3.objects import Listed, delete_version, hide, objects, versions
from ft_ops.settings import Settings
from ft_ops.standing import Status
from tests.backups.world import Standing, World

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = Rules(days=7, weeks=4, months=12, floor=1, stale=timedelta(days=1000))


def _inventory(world: World, log: Log = lambda line: None) -> Inventory:
    return take_inventory(
        world.connection, world.provider, world.bucket, now=datetime.now(UTC), log=log
    )


def _believe(world: World, name: str) -> None:
    verdicts.pass_drill(
        world.connection,
        verdicts.begin_drill(world.connection, name, name, "tests"),
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
        # The increment's log leads from it.
        broken = [item.name for item in _inventory(world).broken]
        assert broken == [name, standing.increment.point.name]
        assert newest_verified_backup(world.connection) is None
    assert _inventory(world).broken == []
    assert newest_verified_backup(world.connection) is not None


@pytest.mark.parametrize("trust", ["unproven", "verified", "refuted"])
def test_a_ledger_that_knows_nothing_is_rebuilt_from_the_bucket(
    standing: Standing, trust: str
) -> None:
    """The bucket says what there is, and what drills have shown of it."""
    world, full, increment = standing.world, standing.full, standing.increment
    for found in [v for f in ("certificates/", "refutations/") for v in versions(world.bucket, f)]:
        delete_version(world.bucket, found.key, found.version_id)
    at = datetime.now(UTC)
    record = {
        "target": increment.point.name,
        "restored_to": increment.point.at.isoformat(),
        "run_id": "of another ledger",
        "error": "a row is missing",
    }
    keys = []
    if trust != "unproven":
        keys += [write_certificate(world.bucket, full.point.name, "x", at, record)]
    if trust == "refuted":
        later = at + timedelta(hours=1)
        keys += [write_refutation(world.bucket, full.point.name, later, record)]
    world.connection.execute("TRUNCATE ops.restore_drills, ops.backups")
    try:
        for _ in range(2):  # a second look records nothing twice
            rebuilt = _inventory(world)
            assert [(item.name, item.problem, item.trust) for item in rebuilt.items] == [
                (full.point.name, None, trust),
                (increment.point.name, None, "unproven"),
            ]
    finally:
        for key in keys:
            (version,) = versions(world.bucket, key)
            delete_version(world.bucket, key, version.version_id)
    drills = world.connection.execute("SELECT count(*) FROM ops.restore_drills").fetchone()
    assert drills == (len(keys),)
    entry = rebuilt.items[0].entry
    assert entry is not None
    assert entry.was_verified == (trust != "unproven")
    assert ledger.read_point(world.connection, full.point.name) == full.point


@pytest.mark.parametrize(
    "odd",
    [
        '"error": "\\u0000"',
        '"recovery_seconds": 1e400',
        '"run_id": "\\ud800"',
        '"loss_seconds": -1',
    ],
)
def test_a_certificate_that_can_not_be_recorded_is_no_proof(standing: Standing, odd: str) -> None:
    world, name = standing.world, standing.full.point.name
    said: list[str] = []
    body = f'{{"restored_to": "2026-01-01T00:00:00Z", {odd}}}'.encode()
    with world.replaced(f"certificates/{name}/29990101T000000000000Z.json", body):
        assert len(_inventory(world, said.append).items) == 2
    assert any("29990101T000000000000Z.json is no proof" in line for line in said)


@pytest.mark.parametrize(
    "odd",
    ["", '{"error": "\\u0000"}', '{"backup": "full-\\ud800"}', '{"refutes": "\\u0000"}', "[]"],
)
def test_a_refutation_that_can_not_be_recorded_is_told_and_nothing_is_deleted_meanwhile(
    standing: Standing, odd: str
) -> None:
    """Without it the backup seems better than a drill has found it, and no purge relies on it."""
    world, name = standing.world, standing.full.point.name
    standing.believe()
    assert newest_verified_backup(world.connection) is not None
    with world.replaced(f"refutations/{name}/29990101T000000000000Z.json", odd.encode()):
        found = _inventory(world)
        [lost] = found.lost_refutations
        assert f"it refutes {name}, and is not recorded" in lost.cause
        assert f"drill {name} by its name" in lost.next_step
        told = [words for words in backups_verified(found, RULES).broken if lost.name in words]
        assert len(told) == 1
        plan = plan_of(found, RULES)
        assert plan.refusal is not None
        with pytest.raises(SomeFailed, match="is not recorded"):
            found.refuse_lost_refutations()
        assert newest_verified_backup(world.connection) is None
        page = standings(world.connection, Settings(), datetime.now(UTC))
        [to_look_at] = [line for line in page if line.what == "backups to look at"]
        assert to_look_at.status >= Status.UNKNOWN
        assert lost.name in to_look_at.reason
    assert _inventory(world).lost_refutations == ()
    assert newest_verified_backup(world.connection) is not None


def test_a_refutation_that_does_not_tell_a_moment_refutes(standing: Standing) -> None:
    """Of a backup that could not be restored at all."""
    world, name = standing.world, standing.full.point.name
    record = {"restored_to": None, "error": "its manifest is damaged", "run_id": "lost"}
    key = write_refutation(world.bucket, name, datetime.now(UTC) + timedelta(days=2), record)
    try:
        [item] = [item for item in _inventory(world).items if item.name == name]
        assert item.trust == "refuted"
    finally:
        world.connection.execute("DELETE FROM ops.restore_drills WHERE run_id = 'lost'")
        hide(world.bucket, key)


def test_two_clusters_in_one_bucket_leave_each_others_points_alone(standing: Standing) -> None:
    """An increment lies beside the others', whatever folder its cluster has: nobody adopts it."""
    world = standing.world
    theirs = replace(standing.increment.point, name="increment-theirs", system_identifier="7")
    said: list[str] = []
    write_point(world.bucket, theirs)
    try:
        found = _inventory(world, said.append)
    finally:
        hide_point(world.bucket, theirs.name)
    assert theirs.name not in {item.name for item in found.items}
    assert "left alone: 1 points of another cluster in this bucket" in said


def test_the_log_begins_at_no_full_of_another_cluster(standing: Standing) -> None:
    """pg_upgrade makes another cluster, whose log begins behind the old one's: that is no hole."""
    provider = standing.world.provider
    (ours, *_) = ledger.entries(standing.world.connection)
    assert ours.cluster == provider.cluster
    before = replace(ours, name="full-before", first_wal="000000010000000000000001")
    assert first_wal([before, ours], provider) == before.first_wal
    assert first_wal([replace(before, cluster="7"), ours], provider) == ours.first_wal


def test_a_copy_that_writes_to_the_same_bucket_fills_no_place_of_ours(standing: Standing) -> None:
    """It was restored from ours and opened: the same cluster, on a timeline of its own."""
    world, ours = standing.world, standing.increment.point
    mark = replace(ours.mark, wal=f"00000002{ours.mark.wal[8:]}")
    theirs = replace(ours, name="increment-of-the-copy", mark=mark)
    said: list[str] = []
    write_point(world.bucket, theirs)
    try:
        found = _inventory(world, said.append)
    finally:
        hide_point(world.bucket, theirs.name)
    (item,) = [item for item in found.items if item.name == theirs.name]
    assert item.state is None
    assert item.candidate is None
    assert any("on a branch of the log that this server is not on" in line for line in said)


def test_a_certificate_of_another_backup_is_no_proof(standing: Standing) -> None:
    """It lies under a name that it does not tell of: copied by somebody, or of another cluster."""
    world, name = standing.world, standing.full.point.name
    record = {"backup": "full-theirs", "restored_to": standing.full.point.at.isoformat()}
    finished = datetime.now(UTC) + timedelta(days=1)
    said: list[str] = []
    key = write_certificate(world.bucket, name, name, finished, record)
    try:
        _inventory(world, said.append)
    finally:
        hide(world.bucket, key)
    assert any("is no proof: it is one of full-theirs" in line for line in said)
    (full,) = [entry for entry in ledger.entries(world.connection) if entry.name == name]
    assert full.judged_at is None or full.judged_at < finished


def test_the_log_of_a_full_is_a_part_of_it(standing: Standing) -> None:
    """A lifecycle rule on the log: what is left of the full fills no place in the ladder."""
    world, name = standing.world, standing.full.point.name
    _believe(world, name)
    first = standing.full.stored.begins_at_wal
    with world.removed(world.key(f"{first}.gz")):
        found = _inventory(world)
        (full,) = [item for item in found.items if item.name == name]
        assert full.problem == f"missing: its log is missing: {first}"
        assert found.candidates == []
        assert found.holes == (f"WAL is missing: {first}",)
    assert _inventory(world).broken == []


def test_a_folder_that_somebody_made_in_a_console_is_nothing(standing: Standing) -> None:
    """An empty object whose key ends with a slash: no pieces of a backup, and no WAL."""
    world = standing.world
    if world.bucket.endpoint_url is not None:
        pytest.skip("SeaweedFS has folders of its own, without versions")
    data = world.key("data.tar.lz4")
    segment = world.key(f"{standing.full.point.mark.wal}.gz")
    before = [item.name for item in _inventory(world).items]
    with ExitStack() as made:
        for key in (data, segment):
            for folder in PurePosixPath(key).parents[:-1]:
                made.enter_context(world.replaced(f"{folder}/", b""))
        made.enter_context(world.replaced("dumps/", b""))
        found = _inventory(world)
        assert [item.name for item in found.items] == before
        assert found.broken == []
        problems = world.provider.log_state(world.connection, None).problems
        assert not any("no WAL" in said for said in problems)


def test_the_copy_needs_everything_that_a_restore_there_would(standing: Standing) -> None:
    world = standing.world
    client = world.bucket.client
    client.create_bucket(Bucket="standing-copy")
    client.put_bucket_versioning(
        Bucket="standing-copy", VersioningConfiguration={"Status": "Enabled"}
    )
    copy = open_bucket("standing-copy", endpoint_url=world.bucket.endpoint_url)
    for found in objects(world.bucket, ""):
        client.copy_object(
            Bucket=copy.name,
            Key=found.key,
            CopySource={"Bucket": world.bucket.name, "Key": found.key},
        )
    there = replace(world, bucket=copy)
    provider = replace(world.provider, replica=copy)

    def problems() -> tuple[str | None, list[str]]:
        inventory = take_inventory(
            world.connection, provider, world.bucket, now=NOW, log=lambda line: None
        )
        full = next(item for item in inventory.items if item.kind == "full")
        assert full.replica is not None
        return full.replica.problem, [gap.key for gap in inventory.copy_gaps]

    assert problems() == (None, [])
    own, later = standing.full.point, standing.increment.point
    with there.removed(there.key(f"{own.mark.wal}.gz")):
        assert problems()[0] == f"its log is missing: {own.mark.wal}"
    with there.removed(f"points/{own.name}.json"):
        assert problems()[0] == f"points/{own.name}.json is missing there"
    key = there.key(f"{later.mark.wal}.gz")
    with there.removed(key), there.removed(f"points/{later.name}.json"):
        assert problems() == (None, [key, f"points/{later.name}.json"])
    data = there.key("data.tar.lz4")
    cold = client.copy_object(
        Bucket=copy.name,
        Key=data,
        CopySource={"Bucket": copy.name, "Key": data},
        StorageClass="DEEP_ARCHIVE",
    )
    assert "can't be read there without asking: DEEP_ARCHIVE" in str(problems()[0])
    delete_version(copy, data, cold["VersionId"])
    assert problems() == (None, [])


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
    since = first_wal(ledger.entries(world.connection), world.provider)
    assert world.provider.log_state(world.connection, since).problems == ()


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
    listed = _inventory(world)
    chosen = [Deletion(item, "tried") for item in listed.items if item.name != name]
    delete_backups(
        world.connection, world.provider, world.bucket, listed, chosen, lambda line: None
    ).refuse_failures("tests")
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
        (
            "unfinished",
            "1 objects and no backup.info: its upload died, or somebody removed it",
        ),
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


def test_a_file_that_names_no_log_is_damaged_and_stands_before_no_other(bucket: Bucket) -> None:
    """Nor does one that somebody took by hand, whose name barman leaves out."""
    odd = {"backup_id": "b", "status": "DONE", "begin_wal": "XYZ", "end_wal": "00"}
    listed = [_info("a").model_dump(mode="json"), odd]
    whole = _folder("backup.info", "data.tar.lz4")
    found = catalog(
        parse_list(json.dumps({"backups_list": listed})),
        {"a": whole, "b": whole},
        None,
        bucket=bucket,
        base="main/base/",
        system_identifier="1",
        segment_bytes=16 << 20,
    )
    assert [(backup.name, backup.condition, backup.problem) for backup in found] == [
        ("full-a", "complete", None),
        ("b", "damaged", "its backup.info does not say where its log begins"),
    ]


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
