"""A small FamilyTales of version 16 on a server of its own, copied for each rehearsal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

from ft_ops.backups import RestoredServer, isolated
from ft_ops.backups.points.fingerprint import fingerprint_tables
from ft_ops.backups.points.points import Mark, RestorePoint
from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg import server as pg
from ft_ops.pg.connect import connect
from ft_ops.pg.server import Server, embedded_binaries
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.rehearsal import Rehearsal, Rules
from ft_ops.rehearsal.look import Live
from ft_ops.rehearsal.rehearsal import rehearse_on
from ft_ops.sandbox.sample import make_sample
from ft_ops.schema import load_migrations, run_migrations

DATABASE = "familytales"
QUIET = Live((), (), ())
RULES = Rules(None, "ft_app", 300)


@dataclass(frozen=True, slots=True)
class Copy:
    """A running copy, before it is rehearsed."""

    server: Server
    folder: Path

    def execute(self, *queries: str, database: str = DATABASE) -> None:
        """As the superuser."""
        with psycopg.connect(self.server.url(database), autocommit=True) as connection:
            for query in queries:
                connection.execute(query)

    def restored(self) -> RestoredServer:
        """As the backups hand one out, with the fingerprints of this moment."""
        url = self.server.url(DATABASE, user="ft_ops")
        with connect(url, application="tests") as connection:
            point = RestorePoint(
                name="full-1",
                at=datetime(2026, 11, 24, tzinfo=UTC),
                mark=Mark("0/0", "0" * 24),
                database=DATABASE,
                system_identifier="",
                server_version=connection.info.server_version,
                cluster_bytes=0,
                preloaded=(),
                extensions={},
                schema={},
                tables=dict(fingerprint_tables(connection)),
            )
        return RestoredServer(
            self.server, self.folder, url, self.server.url(DATABASE), point, "a folder"
        )

    def rehearse(self, live: Live = QUIET, rules: Rules = RULES) -> Rehearsal:
        return rehearse_on(self.restored(), live, rules, lambda line: None)


@pytest.fixture(scope="session")
def original() -> Iterator[Server]:
    """The stopped server that is copied."""
    with TemporaryDirectory(prefix="ft-old-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        bin_dir = pg.reachable_binaries(embedded_binaries(), folder / "postgres")
        server = Server(bin_dir, folder / "data", folder / "run")
        pg.initialise(server)
        with pg.running(server):
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
                connection.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
                connection.execute("GRANT pg_read_all_data TO ft_ops")
            with connect(server.url(DATABASE, user="ft_ops"), application="tests") as connection:
                month = Month.of(datetime.now(UTC))
                run_migrations(connection, load_migrations())
                for parent in PARENTS:
                    ensure_months(connection, parent, [month])
                make_sample(
                    connection,
                    families=2,
                    first=month,
                    last=month,
                    segments_per_month=200,
                    seed=1,
                    progress=lambda line: None,
                )
                connection.execute("VACUUM (ANALYZE)")
        yield server


@pytest.fixture
def copy(original: Server) -> Iterator[Copy]:
    with copied(original) as made:
        yield made


@contextmanager
def copied(original: Server) -> Iterator[Copy]:
    """A copy of its own, in a folder that goes with the block."""
    with TemporaryDirectory(prefix="ft-copy-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = Server(original.bin_dir, folder / "data", folder / "run")
        shutil.copytree(original.data_dir, server.data_dir)
        pg.hand_over(folder)
        pg.configure(server, {"max_prepared_transactions": "2", "fsync": "off"})
        with isolated(server, folder):
            yield Copy(server, folder)
