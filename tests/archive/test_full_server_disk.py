"""The server's own disk is full while a month leaves or comes back: nothing is lost.

Where no room is left for the log, the server stops altogether, and recovers from it once there is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.thaw.thaw import load
from ft_ops.errors import OpsError
from ft_ops.pg import server as servers
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.s3.bucket import Bucket
from ft_ops.schema import load_migrations, run_migrations
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database

_PAGES = 200 << 10
"""Bytes that are left on the disk: some pages of tables, and no segment of the log."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own for a server's data."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=400m,mode=755"]
    subprocess.run(["mount", *options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def full(disk: Path, *, but: int = 0) -> Iterator[None]:
    """Somebody else takes the room."""
    other = disk / "other"
    room = os.statvfs(disk)
    try:
        with other.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - but)
        yield
    finally:
        other.unlink()


def again(world: World, server: servers.Server) -> None:
    """The server, if it has stopped, and the connection, if it was lost."""
    if not servers.is_running(server):
        servers.start(server)
    world.connection.close()
    world.connection = connect(world.database.url, application="tests")


@pytest.mark.chaos
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_the_servers_disk_is_full_while_a_month_leaves_and_comes_back(
    place: Path, bucket: Bucket
) -> None:
    bin_dir = servers.reachable_binaries(servers.embedded_binaries(), place / "postgres")
    with small_disk(place / "disk") as disk:
        server = servers.Server(bin_dir, disk / "data", place / "run")
        servers.initialise(server, wal_segment_mebibytes=1)
        servers.configure(
            server, {"max_wal_size": "8MB", "min_wal_size": "2MB", "wal_recycle": "off"}
        )
        with servers.running(server, stop_mode="immediate"):
            database = Database("small", server.url())
            with psycopg.connect(server.url(), autocommit=True) as admin:
                admin.execute("CREATE DATABASE small")
            with psycopg.connect(database.admin_url, autocommit=True) as admin:
                admin.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
            with connect(database.url, application="tests") as connection:
                run_migrations(connection, load_migrations())
                world = World(database, connection, bucket)
                world.people()
                try:
                    _fall_and_rise(world, server, disk)
                finally:
                    world.connection.close()


def _fall_and_rise(world: World, server: servers.Server, disk: Path) -> None:
    world.fill(segments=80)
    for number in range(400):
        world.segment(text=os.urandom(2_000).hex(), thread=number % 4)
    world.archive()
    world.verified_backup()
    before, known = world.rows(), world.digests()
    plan = world.plan()
    assert plan.decision == "purge"
    with full(disk), pytest.raises((psycopg.Error, OpsError)):
        world.purge()
    again(world, server)
    assert world.purge().kept == 0
    assert [(g.number, g.state) for g in generations(world.connection, MONTH)] == [(1, "purged")]
    assert world.count("content_segment_keys") == 0
    with full(disk, but=_PAGES), pytest.raises((psycopg.Error, OpsError)):
        world.thaw()
    again(world, server)
    thaw = open_thaw(world.connection, MONTH)
    assert (world.thaw() if thaw is None else load(world.run, thaw)).left_out == {}
    assert (world.rows(), world.digests()) == (before, known)
    with full(disk), pytest.raises((psycopg.Error, OpsError)):
        world.refreeze()
    again(world, server)
    assert world.refreeze().next is None
    assert world.rows_when_thawed() == before
