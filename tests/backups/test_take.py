"""A backup that fails or dies is no backup, says why, and the next one is not in its way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ft_ops.backups import backup_bucket
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import take_inventory
from ft_ops.errors import OpsError, Refused
from ft_ops.items import SomeFailed
from ft_ops.pg.connect import connect
from ft_ops.pg.locks import only_one
from ft_ops.programs import connection_of, run
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import hide, put_once
from ft_ops.settings import load_settings
from tests.backups.world import Standing, World
from tests.fixtures.postgres import await_true

_DIES_WHILE_TAKING = """
from datetime import UTC, datetime
from tests.backups.world import open_world
from ft_ops.pg.connect import connect
from ft_ops.settings import load_settings
from ft_ops.backups import backup_bucket
policy = load_settings()
url = policy.require_database_url()
with connect(url, application="tests") as connection:
    world = open_world(connection, url, backup_bucket(policy))
    world.clock = datetime(2020, 1, 1, tzinfo=UTC)
    world.full()
"""


def test_a_failed_backup_is_recorded_with_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = replace(world.bucket, endpoint_url="http://127.0.0.1:9")
    world.provider = replace(world.provider, bucket=silent)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(OpsError, match="barman-cloud-backup: exit status"):
        world.full()
    world.clock -= timedelta(minutes=1, milliseconds=-5)
    with pytest.raises(OpsError, match="barman-cloud-backup: exit status"):
        world.full()  # tried again within the second, under a name of its own
    for entry in (entries := ledger.entries(world.connection)):
        assert entry.state == "failed"
        assert entry.error is not None
        assert "127.0.0.1:9" in entry.error
    assert len(entries) == 2


def test_the_backups_may_lie_elsewhere_than_the_archive(
    aws: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where boto3's own settings lead, nobody answers."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("FT_BACKUP_BUCKET", bucket.name)
    monkeypatch.setenv("FT_BACKUP_ENDPOINT_URL", aws)
    assert backup_bucket(load_settings()).endpoint_url == aws


def test_a_segment_that_never_arrives_is_a_failure(world: World, tmp_path: Path) -> None:
    """archive_command "succeeds" into a place that nobody ships from."""
    provider = replace(world.provider, spool=tmp_path, arrival_seconds=0)
    provider.mark_log(world.connection, "a segment to archive")
    await_true(world.connection, "SELECT last_archived_wal IS NOT NULL FROM pg_stat_archiver")
    with pytest.raises(OpsError, match="0000000100000000000000FF: it did not arrive in"):
        provider.await_segment("0000000100000000000000FF", lambda line: None)
    problems = provider.log_state(world.connection, None).problems
    assert any("the server calls" in p and "does not hold it" in p for p in problems)


def test_what_its_restore_does_not_need_keeps_no_backup_from_being_taken(
    standing: Standing,
) -> None:
    """A half segment, of which each promoted server leaves one; or what a full begins behind."""
    provider, wal = standing.world.provider, standing.increment.point.mark.wal
    assert provider.spool is not None
    behind = f"{wal[:16]}{int(wal[16:], 16) + 1:08X}"
    for name, since in ((f"{wal}.partial", None), (wal, behind)):
        stuck = provider.spool / name
        if name != wal:
            put_once(provider.bucket, f"{provider.place.wals}/{wal[:16]}/{name}", b"the first's")
        stuck.write_bytes(b"another one's")
        try:
            provider.await_segment(wal, lambda line: None, since=since)
            with pytest.raises(SomeFailed, match=rf"{stuck.name}: .*holds something else"):
                provider.ship_log(standing.world.connection, lambda line: None)
            if since is not None:
                with pytest.raises(SomeFailed, match="WAL to"):
                    provider.await_segment(wal, lambda line: None, since=wal)
        finally:
            stuck.unlink()
    hide(provider.bucket, f"{provider.place.wals}/{wal[:16]}/{wal}.partial")


def test_why_a_backup_failed_is_told_though_its_session_was_lost(world: World) -> None:
    def lose() -> None:
        with (
            connect(world.url, application="tests") as lost,
            ledger.taking(lost, "barman", "dump-lost", "dump", "tests"),
        ):
            ended = "SELECT pg_terminate_backend(%s, 5000)"
            world.connection.execute(ended, [lost.info.backend_pid])
            with pytest.raises(psycopg.OperationalError):
                lost.execute("SELECT")
            raise OpsError("dump", cause="the disk is full", next_step="make room")

    with pytest.raises(OpsError, match="the disk is full"):
        lose()
    ledger.fail_dead(world.connection)
    states = {entry.name: entry.state for entry in ledger.entries(world.connection)}
    assert states["dump-lost"] == "failed"


def test_an_increment_needs_a_full(world: World) -> None:
    with pytest.raises(Refused, match="there is no full backup that it could follow"):
        world.increment()


def test_two_fulls_at_once_do_not_meet(world: World) -> None:
    with (
        psycopg.connect(world.url, autocommit=True) as other,
        only_one(other, "full backup"),
        pytest.raises(Refused, match="another run is at work on it"),
    ):
        world.full()
    assert ledger.entries(world.connection) == []


@pytest.mark.chaos
def test_a_killed_backup_leaves_nothing_that_counts(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    process = subprocess.Popen([sys.executable, "-c", _DIES_WHILE_TAKING])
    until = time.monotonic() + 60
    while not list(place.rglob("barman-upload-*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.wait()
    # Its lock goes with its session, which the server ends once it looks for its client.
    await_true(
        world.connection,
        "SELECT NOT EXISTS (SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory')",
    )
    dead = ledger.entries(world.connection)
    assert [entry.state for entry in dead] == ["taking"]

    taken = world.full()
    assert list(place.iterdir()) == []
    states = {entry.name: (entry.state, entry.error) for entry in ledger.entries(world.connection)}
    assert states[dead[0].name] == ("failed", "its run died")
    assert states[taken.point.name] == ("complete", None)
    inventory = take_inventory(
        world.connection,
        world.provider,
        world.bucket,
        now=datetime.now(UTC),
        log=lambda line: None,
    )
    assert [item.name for item in inventory.whole("full")] == [taken.point.name]


def test_passwords_travel_by_the_environment_and_settings_with_the_connection() -> None:
    target, environment = connection_of("postgresql://me:secret@host:5433/db")
    assert "secret" not in target
    assert "sslmode=require" in target
    assert "statement_timeout=0" in target
    assert "client_encoding=UTF8" in target
    assert environment == {"PGPASSWORD": "secret"}


def test_a_program_that_hangs_ends_with_all_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    script = f"sleep 60 & echo $! > {mark}; wait"
    with pytest.raises(OpsError, match=r"sh: it did not end within 0\.5 s"):
        run("sh", ["-c", script], timeout_seconds=0.5)
    child = int(mark.read_text())
    until = time.monotonic() + 10
    while _is_alive(child):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(OpsError, match="there is no such program"):
        run("barman-cloud-nothing", [], timeout_seconds=1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Killed and not yet reaped by whoever adopted it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
