"""A drill restores from the bucket alone; what is wrong with the bucket's objects, it names."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import conninfo

from ft_ops.backups import newest_verified_backup
from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.drill.drill import Drill, run_drill
from ft_ops.backups.drill.plan import DrillPlan, moment_plan, named_plan, newest_plan, older_plan
from ft_ops.backups.drill.session import Aftermath, NextStep, ProvenCopy
from ft_ops.backups.inventory import verdicts
from ft_ops.backups.inventory.inventory import follow
from ft_ops.backups.inventory.ledger import Entry, State, entries
from ft_ops.backups.provider import ContentError, Kind, Log
from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, objects, versions
from ft_ops.sandbox import Sandbox
from tests.backups.world import Standing, World, flipped


def _keys(world: World) -> set[str]:
    return {stored.key for stored in objects(world.bucket, "")}


def _what_a_killed_drill_left(world: World) -> Path:
    """Half a data folder, and a lock that nobody holds."""
    left = world.provider.drill_folder / "ft-drill-left"
    (left / "data" / "base").mkdir(parents=True)
    (left / "lock").touch()
    return left


def _drill(
    standing: Standing, plan: DrillPlan | None = None, next_step: NextStep | None = None
) -> Drill:
    world = standing.world
    return run_drill(
        world.connection,
        world.provider,
        world.bucket,
        plan or newest_plan(entries(world.connection)),
        now=datetime.now(UTC),
        run_id="tests",
        log=lambda line: None,
        next_step=next_step,
    )


def test_the_newest_full_is_restored_to_the_newest_point(standing: Standing) -> None:
    world, point = standing.world, standing.increment.point
    left = _what_a_killed_drill_left(world)
    before = _keys(world)
    drill = _drill(standing, next_step=_delete_a_family)
    assert drill.plan.backup.name == standing.full.point.name
    assert drill.restored_to == point.at
    verified = newest_verified_backup(world.connection)
    assert verified is not None
    assert (verified.name, verified.restored_to) == (standing.full.point.name, point.at)
    assert {check.check for check in drill.checks if check.examined} == {
        "fingerprint",
        "foreign keys",
        "schema",
        "extensions",
        "collations",
        "sequences",
        "roles",
        "other databases",
        "indexes",
        "checksums",
    }
    certificate = drill.certificate.removeprefix("s3://standing/")
    made = _keys(world) - before
    assert {key for key in made if not key.startswith("claims/")} == {certificate}
    stopped = f'recovery stopping at restore point \\"{point.name}\\"'.encode()
    assert stopped in world.body(certificate)
    # The checks had passed by then, and the live database has it still.
    assert drill.aftermath == Aftermath(f"{point.name}: 1 of 2 families deleted")
    assert not left.exists()


def _delete_a_family(copy: ProvenCopy) -> Aftermath:
    """What may be done in a copy once it is proven: whatever, for nobody has it afterwards."""
    with copy.open() as connection:
        families = connection.execute("SELECT id FROM families").fetchall()
        gone = connection.execute("DELETE FROM families WHERE id = %s", families[0]).rowcount
    return Aftermath(f"{copy.point}: {gone} of {len(families)} families deleted")


def test_what_fails_after_the_proof_takes_nothing_from_it(standing: Standing) -> None:
    def fail(copy: ProvenCopy) -> Aftermath:
        raise OpsError("the step after it", cause="no bucket", next_step="look for it")

    with pytest.raises(OpsError, match="no bucket"):
        _drill(standing, next_step=fail)
    assert _verdict(standing) == ("proven", None)
    assert newest_verified_backup(standing.world.connection) is not None


def _verdict(standing: Standing) -> tuple[str | None, str | None]:
    """Of the last drill, and what it refutes."""
    row = standing.world.connection.execute(
        "SELECT verdict, refutes FROM ops.restore_drills ORDER BY id DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _all_is_well(standing: Standing) -> None:
    """What was set to missing is back, and proven."""
    follow(*_parts(standing))
    standing.believe()


def _parts(standing: Standing) -> tuple[Connection, BarmanProvider, Bucket, Log]:
    world = standing.world
    return world.connection, world.provider, world.bucket, lambda line: None


def test_a_hole_in_the_log_is_named_and_says_nothing_of_the_full(standing: Standing) -> None:
    _all_is_well(standing)
    segment = standing.increment.point.mark.wal
    full = standing.full.point
    with standing.world.removed(standing.world.key(f"{segment}.gz")):
        with pytest.raises(OpsError, match=f"its log is missing: {segment}"):
            _drill(standing)
        assert _verdict(standing) == ("unknown", None)
        verified = newest_verified_backup(standing.world.connection)
        assert verified is not None
        # What was reached through the hole can't be relied on; the full itself can.
        assert (verified.name, verified.restored_to) == (full.name, full.at)
    _all_is_well(standing)


def test_while_its_objects_are_out_of_sight_a_backup_does_not_count(standing: Standing) -> None:
    _all_is_well(standing)
    with standing.world.removed(standing.world.key("data.tar.lz4")):
        with pytest.raises(OpsError, match=r"its objects data\.tar are missing"):
            _drill(standing)
        assert newest_verified_backup(standing.world.connection) is None
    # They are back, and nothing was shown against them.
    follow(*_parts(standing))
    assert newest_verified_backup(standing.world.connection) is not None


@pytest.mark.parametrize("hidden", ["backup.info", "points/{full}.json"])
def test_while_its_record_is_out_of_sight_a_backup_does_not_count(
    standing: Standing, hidden: str
) -> None:
    _all_is_well(standing)
    key = standing.world.key(hidden.format(full=standing.full.point.name).split("/")[-1])
    with standing.world.removed(key):
        follow(*_parts(standing))
        assert newest_verified_backup(standing.world.connection) is None
        states = {entry.name: entry.state for entry in entries(standing.world.connection)}
        assert states[standing.full.point.name] == "missing"
    follow(*_parts(standing))
    assert newest_verified_backup(standing.world.connection) is not None


def test_what_can_not_be_read_without_asking_is_no_backup_to_rely_on(standing: Standing) -> None:
    """A lifecycle rule moved the data to Glacier: the ETag stays, and nobody can restore it."""
    _all_is_well(standing)
    world = standing.world
    key = world.key("data.tar.lz4")
    (before,) = [v.version_id for v in versions(world.bucket, key)]
    cold = world.bucket.client.copy_object(
        Bucket=world.bucket.name,
        Key=key,
        CopySource={"Bucket": world.bucket.name, "Key": key, "VersionId": before},
        StorageClass="GLACIER",
    )
    try:
        with pytest.raises(OpsError, match=r"data\.tar\.lz4 are in GLACIER"):
            _drill(standing)
        assert _verdict(standing) == ("unknown", None)
        assert newest_verified_backup(world.connection) is None
        (full,) = [e for e in entries(world.connection) if e.kind == "full"]
        assert (full.verdict, full.was_verified) == ("proven", True)
    finally:
        delete_version(world.bucket, key, cold["VersionId"])
    _all_is_well(standing)


def test_a_drill_that_takes_too_long_says_nothing_of_the_backup(standing: Standing) -> None:
    _all_is_well(standing)
    world = standing.world
    good = world.provider
    world.provider = replace(good, timeout_seconds=0.05)
    try:
        with pytest.raises(OpsError, match=r"did not end within 0\.05 s"):
            _drill(standing)
    finally:
        world.provider = good
    assert _verdict(standing) == ("unknown", None)
    assert newest_verified_backup(world.connection) is not None
    (full,) = [e for e in entries(world.connection) if e.kind == "full"]
    assert full.undecided is not None
    assert "did not end within 0.05 s" in full.undecided


def test_a_run_that_died_says_nothing_of_the_backup(standing: Standing) -> None:
    _all_is_well(standing)
    name = standing.full.point.name
    verdicts.begin_drill(standing.world.connection, name, name, "killed")
    standing.believe()  # the next drill records what became of it
    states = standing.world.connection.execute(
        "SELECT verdict, error FROM ops.restore_drills WHERE run_id = 'killed'"
    ).fetchall()
    assert states == [("unknown", "its run died")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_says_nothing_of_the_backup(standing: Standing) -> None:
    """It fills while the copy's server is at work; the server and its checks fail in many ways."""
    _all_is_well(standing)
    world = standing.world
    good = world.provider
    disk = Path(tempfile.mkdtemp(dir=good.drill_folder))
    options = ["-t", "tmpfs", "-o", "size=900m,mode=755"]
    subprocess.run(["mount", *options, "tmpfs", disk], check=True)
    world.provider = replace(good, drill_folder=disk)
    try:
        with _filling_up(disk), pytest.raises(OpsError, match="No space left on device"):
            _drill(standing)
    finally:
        world.provider = good
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()
    assert _verdict(standing) == ("unknown", None)
    assert newest_verified_backup(world.connection) is not None


@contextmanager
def _filling_up(disk: Path) -> Iterator[None]:
    """Somebody else takes all the room once a server runs there."""
    over = threading.Event()

    def fill() -> None:
        while not list(disk.glob("ft-drill-*/data/postmaster.pid")) and not over.is_set():
            time.sleep(0.02)
        # At once, not written out: the drill of a slow machine must not be over first.
        with (disk / "other").open("wb") as other:
            sizes = (1 << 20, 1 << 12)
            while not over.is_set():
                for size in sizes:
                    with suppress(OSError):
                        os.posix_fallocate(other.fileno(), other.seek(0, os.SEEK_END), size)
                        break
                else:
                    time.sleep(0.001)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_an_archive_with_another_content_is_named(standing: Standing) -> None:
    """One bit: neither its size nor, if it lies in a file that is not used, a restore tells."""
    key = standing.world.key("data.tar.lz4")
    body = standing.world.body(key)
    with (
        standing.world.replaced(key, flipped(body, len(body) // 2)),
        pytest.raises(OpsError, match=r"its objects data\.tar\.lz4 are .* not what was written"),
    ):
        _drill(standing)


def test_a_damaged_segment_of_its_own_refutes_a_backup(standing: Standing) -> None:
    _all_is_well(standing)
    segment = standing.full.point.mark.wal
    key = standing.world.key(f"{segment}.gz")
    body = standing.world.body(key)
    with (
        standing.world.replaced(key, flipped(body, len(body) - 8)),
        pytest.raises(ContentError, match=f"{segment}.gz: it can't be decompressed"),
    ):
        _drill(standing, named_plan(entries(standing.world.connection), standing.full.point.name))
    assert _verdict(standing) == ("refuted", "backup")
    assert newest_verified_backup(standing.world.connection) is None
    refutations = [o.key for o in objects(standing.world.bucket, "refutations/")]
    assert standing.full.point.name in refutations[-1]
    _all_is_well(standing)


def test_a_refutation_that_the_bucket_does_not_take_is_told_with_what_the_drill_said(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OpsError("s3://backups", cause="503 SlowDown", next_step="wait")

    monkeypatch.setattr("ft_ops.backups.drill.drill.write_refutation", refused)
    key = standing.world.key(f"{standing.full.point.mark.wal}.gz")
    body = standing.world.body(key)
    with (
        standing.world.replaced(key, flipped(body, len(body) - 8)),
        pytest.raises(OpsError, match=r"the bucket has not: 503 SlowDown.* can't be decompressed"),
    ):
        _drill(standing, named_plan(entries(standing.world.connection), standing.full.point.name))
    assert _verdict(standing) == ("refuted", "backup")
    _all_is_well(standing)


def test_a_damaged_segment_is_named(standing: Standing) -> None:
    """In its checksum: within a long run of zeros, a bit turned over can decompress to the same."""
    _all_is_well(standing)
    segment = standing.increment.point.mark.wal
    key = standing.world.key(f"{segment}.gz")
    body = standing.world.body(key)
    with (
        standing.world.replaced(key, flipped(body, len(body) - 8)),
        pytest.raises(ContentError, match=f"{segment}.gz: it can't be decompressed"),
    ):
        _drill(standing)
    # Behind the full's own point: the full is what it was, and nothing beyond it can be reached.
    assert _verdict(standing) == ("refuted", "log")
    verified = newest_verified_backup(standing.world.connection)
    assert verified is not None
    assert verified.restored_to == standing.full.point.at
    standing.believe()


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
    _all_is_well(standing)
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
    assert _verdict(standing) == ("unknown", None)


@pytest.mark.chaos
def test_a_tablespace_that_is_made_after_the_full_stays_what_it_is(
    world: World, box: Sandbox
) -> None:
    """The drill runs on the live server's machine, as its user, and recovers to behind it."""
    world.full()
    late = box.root / "late"
    late.mkdir()
    pg.hand_over(late)
    url = conninfo.make_conninfo(box.admin_url, dbname="familytales_second")
    with connect(url, application="tests") as admin:
        admin.execute(f"CREATE TABLESPACE late LOCATION '{late}'")
        try:
            admin.execute("ALTER TABLE content_tags SET TABLESPACE late")
            point = world.increment().point
            admin.execute("UPDATE content_tags SET tag_name = 'after ' || tag_name")
            admin.execute("CHECKPOINT")
            before = {path: path.read_bytes() for path in late.rglob("*") if path.is_file()}
            assert before
            drill = run_drill(
                world.connection,
                world.provider,
                world.bucket,
                newest_plan(entries(world.connection)),
                now=datetime.now(UTC),
                run_id="tests",
                log=lambda line: None,
            )
            assert drill.restored_to == point.at
            assert before == {path: path.read_bytes() for path in late.rglob("*") if path.is_file()}
        finally:
            admin.execute("ALTER TABLE content_tags SET TABLESPACE pg_default")
            admin.execute("DROP TABLESPACE late")


def test_a_drill_that_can_not_be_held_is_no_verdict(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing.believe()
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
    assert newest_plan(known) == DrillPlan(known[1], known[2])
    assert older_plan(known, random.Random(1)) == DrillPlan(known[0], known[0])
    assert older_plan(known[:1], random.Random(1)) == DrillPlan(known[0], known[0])
    assert named_plan(known, "increment-3") == DrillPlan(known[1], known[2])
    for name in ("full-4", "dump-5", "nobody"):
        with pytest.raises(Refused, match="no complete full backup or increment of that name"):
            named_plan(known, name)
    with pytest.raises(Refused, match="there is no complete full backup"):
        newest_plan(known[2:])


def test_where_no_log_leads_from_a_full_each_is_restored_alone() -> None:
    known = [_entry(1, "full"), _entry(2, "full"), _entry(3, "increment")]
    assert newest_plan(known, by_log=False) == DrillPlan(known[1], known[1])
    assert named_plan(known, "increment-3", by_log=False) == DrillPlan(known[2], known[2])
    assert moment_plan(known) == DrillPlan(known[1], known[2])
    assert moment_plan(known[:2]) is None
