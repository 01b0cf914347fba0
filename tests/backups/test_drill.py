"""A drill restores from the bucket alone; what is wrong with the bucket's objects, it names."""

from __future__ import annotations

import gzip
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ft_ops.backups import newest_verified_backup
from ft_ops.backups.drill.drill import Drill, Plan, named_plan, newest_plan, older_plan, run_drill
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.ledger import Entry, State, entries
from ft_ops.backups.provider import Kind
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.objects import objects
from tests.backups.world import Standing, World, flipped


def _keys(world: World) -> set[str]:
    return {stored.key for stored in objects(world.bucket, "")}


def _what_a_killed_drill_left(world: World) -> Path:
    """Half a data folder, and a lock that nobody holds."""
    left = world.provider.drill_folder / "ft-drill-left"
    (left / "data" / "base").mkdir(parents=True)
    (left / "lock").touch()
    return left


def _believe(standing: Standing) -> None:
    """Record a drill that passed, without holding it."""
    connection, name = standing.world.connection, standing.full.point.name
    ledger.pass_drill(
        connection,
        ledger.begin_drill(connection, name, name, "tests"),
        restored_to=standing.full.point.at,
        recovery_seconds=1,
        loss_seconds=1,
        certificate={},
    )


def _drill(standing: Standing, plan: Plan | None = None) -> Drill:
    world = standing.world
    return run_drill(
        world.connection,
        world.provider,
        world.bucket,
        plan or newest_plan(entries(world.connection)),
        now=datetime.now(UTC),
        run_id="tests",
        log=lambda line: None,
    )


def test_the_newest_full_is_restored_to_the_newest_point(standing: Standing) -> None:
    world, point = standing.world, standing.increment.point
    left = _what_a_killed_drill_left(world)
    before = _keys(world)
    drill = _drill(standing)
    assert drill.plan.backup.name == standing.full.point.name
    assert drill.restored_to == point.at
    verified = newest_verified_backup(world.connection)
    assert verified is not None
    assert (verified.name, verified.restored_to) == (standing.full.point.name, point.at)
    assert {rung.check for rung in drill.rungs if rung.examined} == {
        "fingerprint",
        "foreign keys",
        "schema",
        "extensions",
        "collations",
        "indexes",
        "checksums",
    }
    certificate = drill.certificate.removeprefix("s3://standing/")
    assert _keys(world) - before == {certificate}
    stopped = f'recovery stopping at restore point \\"{point.name}\\"'.encode()
    assert stopped in world.body(certificate)
    assert not left.exists()


def test_a_hole_in_the_log_is_named(standing: Standing) -> None:
    segment = standing.increment.point.mark.wal
    with (
        standing.world.removed(standing.world.key(f"{segment}.gz")),
        pytest.raises(OpsError, match=f"missing between .*: {segment}"),
    ):
        _drill(standing)


def test_a_failed_drill_takes_the_backups_word_back(standing: Standing) -> None:
    _believe(standing)
    assert newest_verified_backup(standing.world.connection) is not None
    with (
        standing.world.removed(standing.world.key("data.tar.lz4")),
        pytest.raises(OpsError, match=r"its objects data\.tar are missing"),
    ):
        _drill(standing)
    assert newest_verified_backup(standing.world.connection) is None


def test_an_archive_with_another_content_is_named(standing: Standing) -> None:
    """One bit: neither its size nor, if it lies in a file that is not used, a restore tells."""
    key = standing.world.key("data.tar.lz4")
    body = standing.world.body(key)
    with (
        standing.world.replaced(key, flipped(body, len(body) // 2)),
        pytest.raises(OpsError, match=r"its objects data\.tar\.lz4 are .* not what was written"),
    ):
        _drill(standing)


def test_a_damaged_segment_is_named(standing: Standing) -> None:
    """In its checksum: within a long run of zeros, a bit turned over can decompress to the same."""
    segment = standing.increment.point.mark.wal
    key = standing.world.key(f"{segment}.gz")
    body = standing.world.body(key)
    with (
        standing.world.replaced(key, flipped(body, len(body) - 8)),
        pytest.raises(OpsError, match=f"{segment}.gz: it can't be decompressed"),
    ):
        _drill(standing)


@pytest.mark.chaos
def test_a_segment_whose_records_are_damaged_is_named(standing: Standing) -> None:
    """Flipped before it was compressed: only recovery can see it, and it stops there."""
    segment = standing.increment.point.mark.wal
    key = standing.world.key(f"{segment}.gz")
    content = gzip.decompress(standing.world.body(key))
    with (
        standing.world.replaced(key, gzip.compress(flipped(content, 400))),
        pytest.raises(
            OpsError, match=f"recovery ended before.*the last segment it used is {segment}"
        ),
    ):
        _drill(standing)


def test_a_segment_of_another_cluster_is_named(standing: Standing) -> None:
    segment = standing.increment.point.mark.wal
    key = standing.world.key(f"{segment}.gz")
    content = bytearray(gzip.decompress(standing.world.body(key)))
    content[24:32] = (4711).to_bytes(8, "little")
    with (
        standing.world.replaced(key, gzip.compress(bytes(content))),
        pytest.raises(OpsError, match=f"{segment}: it was written by the cluster 4711"),
    ):
        _drill(standing)


def test_a_changed_record_of_the_point_is_named(standing: Standing) -> None:
    key = standing.world.key(f"{standing.increment.point.name}.json")
    body = standing.world.body(key).replace(b'"rows": ', b'"rows": 1')
    with (
        standing.world.replaced(key, body),
        pytest.raises(OpsError, match=r"in the bucket and its row in ops\.backups differ"),
    ):
        _drill(standing)


def test_a_drill_that_can_not_be_held_is_no_verdict(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    _believe(standing)
    before = newest_verified_backup(standing.world.connection)
    monkeypatch.setattr("ft_ops.backups.drill.scratch._SPARE", 1e9)
    with pytest.raises(Refused, match=r"bytes and .* are free"):
        _drill(standing)
    assert newest_verified_backup(standing.world.connection) == before


def _entry(day: int, kind: Kind, state: State = "complete") -> Entry:
    at = datetime(2026, 3, 1, 2, tzinfo=UTC) + timedelta(days=day)
    name = f"{kind}-{day}"
    return Entry(name, kind, "barman", state, name, at, None, at, at, None, None, None, False)


def test_plans_choose_among_what_is_complete() -> None:
    known = [
        _entry(1, "full"),
        _entry(2, "full"),
        _entry(3, "increment"),
        _entry(4, "full", "missing"),
        _entry(5, "dump"),
    ]
    assert newest_plan(known) == Plan(known[1], known[2])
    assert older_plan(known, random.Random(1)) == Plan(known[0], known[0])
    assert older_plan(known[:1], random.Random(1)) == Plan(known[0], known[0])
    assert named_plan(known, "increment-3") == Plan(known[1], known[2])
    for name in ("full-4", "dump-5", "nobody"):
        with pytest.raises(Refused, match="no complete full backup or increment of that name"):
            named_plan(known, name)
    with pytest.raises(Refused, match="there is no complete full backup"):
        newest_plan(known[2:])
