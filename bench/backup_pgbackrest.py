"""A full backup and a restore by barman-cloud, our default, against pgBackRest.

Both work on one server, the first of Debian's packages beside which there is a pgBackRest, and
store into the sandbox's S3 with two processes and lz4 at its fastest level. Ours is `full_backup`,
with its fingerprint of every table and its restore point, and the restore of a drill up to the
recovered server, without the drill's checks. pgBackRest's is a full backup with a restore point
behind it, and its restore, recovered to that point; it bundles small files, as it should in S3.

pgBackRest speaks TLS alone to S3: a relay in this process takes that from it, and its time counts.
Without such a server nothing is measured, and the earlier results stay.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

from psycopg import sql

from bench._debian_server import debian_server, migrate
from bench._pgbackrest import BUCKET, Stanza, stanza
from bench.frame import BenchContext, Result, alternating, seconds
from bench.frame.context import BACKED_UP_MONTHS, BACKED_UP_SHARE
from bench.frame.measure import Samples
from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.provider import Taken
from ft_ops.backups.providers import open_provider
from ft_ops.backups.take.take import take_full
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.settings import load_settings

TIME_GOAL: Final = 1.2
BYTES_GOAL: Final = 1.1
_PROCESSES: Final = 2
_PROGRAM: Final = "usr/bin/pgbackrest"


def run(context: BenchContext) -> Iterator[Result]:
    with ExitStack() as stack:
        pair = stack.enter_context(_both(context))
        if pair is None:
            context.log("left out: no pgBackRest here; `make versions` unpacks one")
            return
        size = (
            f"{context.sizes.segments_per_month:,} segments a month, {BACKED_UP_MONTHS} months;"
            f" {pair.cluster_bytes() / 1e6:,.0f} MB"
        )
        for work, ours, theirs in (
            ("full backup", pair.back_up, pair.back_up_by_pgbackrest),
            ("restore", pair.restore, pair.restore_by_pgbackrest),
        ):
            found = alternating(
                {"ours": ours, "pgBackRest": theirs},
                repetitions=context.sizes.repetitions,
                warm_ups=0,
            )
            yield Result.comparing(
                found["ours"],
                found["pgBackRest"],
                name=f"backup_pgbackrest_{work.replace(' ', '_')}",
                work=f"{work} by barman-cloud, lz4",
                against="pgBackRest, lz4",
                goal=TIME_GOAL,
                size=size,
            )
        yield Result.comparing(
            Samples((pair.taken[-1].stored.bytes / 1e6,)),
            Samples((pair.stanza.stored_bytes() / 1e6,)),
            name="backup_pgbackrest_bytes",
            work="full backup by barman-cloud, lz4: stored",
            against="pgBackRest, lz4",
            goal=BYTES_GOAL,
            size=size,
            unit="MB",
        )


@dataclass(frozen=True, slots=True)
class _Pair:
    """One server that both back up, each when it is its turn."""

    context: BenchContext
    connection: Connection
    provider: BarmanProvider
    bucket: Bucket
    stanza: Stanza
    spool: Path
    taken: list[Taken]
    points: list[str]
    numbers: Iterator[int]

    def cluster_bytes(self) -> int:
        row = self.connection.execute(
            "SELECT sum(pg_database_size(oid))::bigint FROM pg_database"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def back_up(self) -> float:
        self._archive_by(
            f'cp "%p" "{self.spool}/%f.part" && mv "{self.spool}/%f.part" "{self.spool}/%f"'
        )
        return seconds(lambda: self.taken.append(self._take_full()))

    def back_up_by_pgbackrest(self) -> float:
        self._archive_by(self.stanza.archive_command)
        self.points.append(f"point_{next(self.numbers)}")
        return seconds(lambda: self.stanza.take_full(self.points[-1]))

    def restore(self) -> float:
        newest = self.taken[-1]
        started = time.perf_counter()
        with self.provider.restore(newest.stored, newest.point, self.context.log):
            return time.perf_counter() - started

    def restore_by_pgbackrest(self) -> float:
        with tempfile.TemporaryDirectory(prefix="ft-plain-") as name:
            folder = Path(name)
            folder.chmod(0o711)
            return seconds(lambda: self.stanza.restore(folder, self.points[-1]))

    def _take_full(self) -> Taken:
        return take_full(
            self.connection,
            self.provider,
            self.bucket,
            now=datetime.now(UTC),
            run_id="bench",
            log=self.context.log,
        )

    def _archive_by(self, command: str) -> None:
        with connect(self.stanza.server.url(), application="bench") as admin:
            admin.execute(
                sql.SQL("ALTER SYSTEM SET archive_command = {}").format(sql.Literal(command))
            )
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("SELECT pg_switch_wal()")


@contextmanager
def _both(context: BenchContext) -> Iterator[_Pair | None]:
    box = context.sandbox
    with (
        tempfile.TemporaryDirectory(prefix="ft-pgbackrest-") as name,
        debian_server(context, lambda server: _program(server) is not None) as server,
    ):
        if server is None:
            yield None
            return
        program = _program(server)
        assert program is not None
        root = Path(name)
        root.chmod(0o755)
        spool, drills = root / "spool", root / "drills"
        for folder in (spool, drills):
            folder.mkdir()
            folder.chmod(0o711)
        pg.hand_over(spool)
        url = _filled(context, server)
        environment = {
            "FT_DATABASE_URL": url,
            "FT_WAL_SPOOL": str(spool),
            "FT_DRILL_FOLDER": str(drills),
            "FT_PG_BIN_DIR": str(server.bin_dir),
        }
        with _environment(environment), connect(url, application="bench") as connection:
            bucket = open_bucket(box.backup_bucket)
            bucket.client.create_bucket(Bucket=BUCKET)
            provider = open_provider(load_settings(), connection, bucket)
            assert isinstance(provider, BarmanProvider)
            repository = Bucket(BUCKET, bucket.client)
            with stanza(program, root, server, repository, processes=_PROCESSES) as theirs:
                yield _Pair(context, connection, provider, bucket, theirs, spool, [], [], count(1))


def _program(server: pg.Server) -> Path | None:
    """pgBackRest beside the server's own programs, or the system's."""
    for parent in server.bin_dir.parents:
        if (parent / _PROGRAM).is_file():
            return parent / _PROGRAM
    return None


def _filled(context: BenchContext, server: pg.Server) -> str:
    pg.stop(server)
    pg.configure(server, {"archive_mode": "on", "archive_command": "true"})
    pg.start(server)
    with connect(server.url(), application="bench") as admin:
        admin.execute("CREATE DATABASE familytales")
    url = migrate(server, "familytales")
    with connect(url, application="bench") as connection:
        few = context.sizes.families // BACKED_UP_SHARE
        sizes = replace(context.sizes, months=BACKED_UP_MONTHS, families=few)
        context.fill_content(connection, sizes)
    with connect(server.url(), application="bench") as admin:
        admin.execute("CHECKPOINT")
    return url


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
