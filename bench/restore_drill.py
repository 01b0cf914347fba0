"""A restore drill, against a plain restore of the same backup.

The drill fetches a full backup and its log, recovers to the named point, fingerprints every table,
compares every index with its table, joins every foreign key, compares the schema and verifies every
block's checksum. It unpacks the archives by tar, and its checks work side by side: their seconds
overlap. The reference is what somebody does in an emergency, as fast as the parts allow:
run barman-cloud-restore, download the log's segments, start a server and recover it to the same
point. It examines nothing of what came back.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench._own_server import own_server
from bench.frame import BenchContext, Result, alternating, seconds
from bench.frame.context import BACKED_UP_MONTHS
from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.barman.wal import Segment
from ft_ops.backups.drill.drill import Drill, run_drill
from ft_ops.backups.drill.plan import newest_plan
from ft_ops.backups.inventory.ledger import entries
from ft_ops.backups.provider import Taken
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection
from ft_ops.pg.server import Server
from ft_ops.programs import run as run_program
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import objects

GOAL = 2.0
REASON = (
    "A plain restore reads no table. The profile is of the last drill: its checks read every row"
    " once for the tables and twice for each index, and grow with them. Half of that time is spent"
    " following each entry of each index to its row, a microsecond for each: nothing else tells an"
    " index with two pointers exchanged"
)
_POLL_SECONDS = 0.05
_DEADLINE_SECONDS = 600


def run(context: BenchContext) -> Iterator[Result]:
    with _backed_up(context) as backup:
        drills: list[Drill] = []
        found = alternating(
            {
                "a plain restore": lambda: seconds(backup.restore_plainly),
                "ours": lambda: seconds(lambda: drills.append(backup.drill())),
            },
            repetitions=context.sizes.repetitions,
            warm_ups=0,
        )
        result = Result.comparing(
            found["ours"],
            found["a plain restore"],
            name="restore_drill",
            work="restore drill",
            against="plain restore of the same backup",
            goal=GOAL,
            size=f"{context.sizes.segments_per_month:,} segments a month,"
            f" {BACKED_UP_MONTHS} months; {backup.taken.point.cluster_bytes / 1e6:,.0f} MB",
        )
        last = drills[-1]
        checks: dict[str, float] = defaultdict(float)
        for check in last.checks:
            checks[check.check] += check.seconds
        yield replace(
            result, reason=REASON, profile={"restore and recovery": last.recovery_seconds, **checks}
        )


@dataclass(frozen=True, slots=True)
class _Backup:
    """One full backup, to be restored again and again."""

    connection: Connection
    provider: BarmanProvider
    bucket: Bucket
    taken: Taken

    def drill(self) -> Drill:
        return run_drill(
            self.connection,
            self.provider,
            self.bucket,
            newest_plan(entries(self.connection)),
            now=datetime.now(UTC),
            run_id="bench",
            log=lambda line: None,
        )

    def restore_plainly(self) -> None:
        with tempfile.TemporaryDirectory(prefix="ft-plain-") as name:
            folder = Path(name)
            folder.chmod(0o711)
            place = f"s3://{self.bucket.name}/{self.provider.folder}"
            backup_id = self.taken.stored.provider_id
            run_program(
                "barman-cloud-restore",
                [place, self.provider.server, backup_id, str(folder / "data")],
                timeout_seconds=_DEADLINE_SECONDS,
            )
            wal = folder / "wal"
            wal.mkdir()
            self._download_log(wal)
            bin_dir = pg.reachable_binaries(self.provider.bin_dir, folder / "postgres")
            _recover(Server(bin_dir, folder / "data", folder / "run"), wal, self.taken.point.name)

    def _download_log(self, folder: Path) -> None:
        """The segments from the backup's first one to the point's, decompressed."""
        size = self.provider.segment_bytes
        first = Segment.parse(self.taken.stored.begins_at_wal or "", size)
        last = Segment.parse(self.taken.point.mark.wal, size)
        prefix = f"{self.provider.folder}/{self.provider.server}/wals/"
        for stored in objects(self.bucket, prefix):
            segment = Path(stored.key).name.partition(".")[0]
            if first.name <= segment <= last.name:
                body = self.bucket.client.get_object(Bucket=self.bucket.name, Key=stored.key)
                with gzip.open(body["Body"]) as content, (folder / segment).open("wb") as file:
                    shutil.copyfileobj(content, file)


def _recover(server: Server, wal: Path, point: str) -> None:
    """Start the restored server and wait until it has been recovered."""
    pg.configure(
        server,
        {
            "archive_mode": "off",
            # As in the drill: a copy that goes away again is not synced to disk.
            "fsync": "off",
            "restore_command": f'cp "{wal}/%f" "%p"',
            "recovery_target_name": point,
            "recovery_target_action": "promote",
        },
    )
    (server.data_dir / "recovery.signal").touch()
    for path in (wal, server.data_dir):
        pg.hand_over(path)
    with pg.running(server, stop_mode="immediate"):
        until = time.monotonic() + _DEADLINE_SECONDS
        while not _is_recovered(server):
            assert time.monotonic() < until, pg.server_log(server)
            time.sleep(_POLL_SECONDS)


def _is_recovered(server: Server) -> bool:
    with psycopg.connect(server.url()) as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)


@contextmanager
def _backed_up(context: BenchContext) -> Iterator[_Backup]:
    with own_server(context) as server:
        yield _Backup(
            server.connection, server.provider, server.bucket, server.take_full(context.log)
        )
