"""Backups and WAL by barman-cloud, of a server that we manage ourselves.

A full backup is barman-cloud-backup's. PostgreSQL 16 has no incremental base backup: an increment
is a named restore point and the log up to it, in the bucket.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ft_ops.backups.barman.archived_wal import ArchivedWal, list_wal
from ft_ops.backups.barman.catalog import (
    Copies,
    catalog,
    folders,
    increment,
    parse_list,
    stored_increments,
    wal_deletions,
)
from ft_ops.backups.barman.log import log_state
from ft_ops.backups.barman.spool import ship_spool
from ft_ops.backups.barman.wal import Segment
from ft_ops.backups.drill.recovery import recovered
from ft_ops.backups.drill.scratch import refuse_too_little_room, scratch_folder, server_in
from ft_ops.backups.points.points import Mark, RestorePoint, take_point
from ft_ops.backups.provider import (
    Log,
    LogState,
    ProviderName,
    RestoredCopy,
    StoredBackup,
    Taken,
)
from ft_ops.backups.take.commands import run, without_password
from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import hide, objects
from ft_ops.s3.upload import abort_upload, half_uploads

_WAL_TIMEOUT_SECONDS: Final = 120
_CATALOG_TIMEOUT_SECONDS: Final = 600
_POLL_SECONDS: Final = 0.5
_UPLOADERS: Final = 2


@dataclass(frozen=True, slots=True)
class BarmanProvider:
    """One server's backups in one bucket. ``folder`` and ``server`` are barman-cloud's terms."""

    url: str = field(repr=False)
    bucket: Bucket
    folder: str
    server: str
    system_identifier: str
    segment_bytes: int
    spool: Path | None
    replica: Bucket | None
    drill_folder: Path
    bin_dir: Path
    timeout_seconds: float
    arrival_seconds: float
    lag_seconds: float
    floor: int

    @property
    def name(self) -> ProviderName:
        return "barman"

    @property
    def cluster(self) -> str:
        return self.system_identifier

    def take_full(self, name: str, log: Log) -> Taken:
        """Take a base backup, then mark the log, so that the log up to there makes it complete.

        barman-cloud-backup reads PGDATA: run it where it may.
        """
        target, environment = without_password(self.url)
        arguments = ["--lz4", "--immediate-checkpoint", "--jobs", str(_UPLOADERS)]
        run(
            "barman-cloud-backup",
            [*arguments, "--dbname", target, "--name", name, *self._place],
            timeout_seconds=self.timeout_seconds,
            environment=environment,
        )
        stored = self._complete(name)
        log(f"{stored.location}: {stored.bytes:,} bytes")
        return Taken(self._take_point(name, log), stored)

    def take_increment(self, name: str, log: Log) -> Taken:
        """Mark the log. There is nothing to copy: the log up to the mark is the increment."""
        point = self._take_point(name, log)
        return Taken(point, increment(self.bucket, name))

    def mark_log(self, connection: Connection, name: str) -> Mark:
        """Write a named restore point, then complete its segment so that it is archived."""
        row = connection.execute(
            statement("backups/create_restore_point"), {"name": name}
        ).fetchone()
        assert row is not None
        connection.execute(statement("backups/switch_wal"))
        return Mark(lsn=row[0], wal=row[1])

    def await_segment(self, wal: str, log: Log) -> None:
        """Ship the spool, if there is one, and wait until the segment is in the bucket."""
        until = time.monotonic() + self.arrival_seconds
        while True:
            self._ship_spool(log)
            if wal in self._listed(wal).files:
                return
            if time.monotonic() > until:
                raise OpsError(
                    f"WAL segment {wal}",
                    cause=f"it did not arrive in {self.bucket.name} within "
                    f"{self.arrival_seconds:g} s",
                    next_step="see pg_stat_archiver and the server's log for what archive_command "
                    "does; exit status 126 or 127 is not counted as a failure there",
                )
            time.sleep(_POLL_SECONDS)

    def replicate(self, log: Log) -> None:
        """Nothing: the bucket's replication rule copies every object, the log's too."""

    def ship_log(self, connection: Connection, log: Log) -> None:
        """Complete a segment that has been open for too long, and ship the spool."""
        state = self.log_state(connection, None)
        if state.lag_seconds > self.lag_seconds:
            connection.execute(statement("backups/switch_wal"))
            log(f"completed the open segment: {state.lag_seconds:.0f} s were not archived")
        self._ship_spool(log)

    def log_state(self, connection: Connection, since_wal: str | None) -> LogState:
        """Compare the server's log with what the bucket holds of it."""
        first = Segment.parse(since_wal, self.segment_bytes) if since_wal else None
        return log_state(connection, self._listed(), first, self.spool, self.segment_bytes)

    def stored_backups(self) -> list[StoredBackup]:
        """What barman-cloud-backup-list names, what lies in its folder, and the increments."""
        infos = parse_list(
            run(
                "barman-cloud-backup-list",
                ["--format", "json", *self._place],
                timeout_seconds=_CATALOG_TIMEOUT_SECONDS,
            )
        )
        fulls = catalog(
            infos,
            folders(objects(self.bucket, self._base), self._base),
            self._copies(),
            bucket=self.bucket,
            base=self._base,
            system_identifier=self.system_identifier,
            segment_bytes=self.segment_bytes,
        )
        return [*fulls, *stored_increments(self.bucket)]

    @contextmanager
    def restore(
        self, backup: StoredBackup, point: RestorePoint, log: Log
    ) -> Iterator[RestoredCopy]:
        """Restore the files, fetch the log, and recover on a server of our own."""
        first = Segment.parse(backup.begins_at_wal or "", self.segment_bytes)
        last = Segment.parse(point.mark.wal, self.segment_bytes)
        log_bytes = (last.number - first.number + 1) * self.segment_bytes
        refuse_too_little_room(self.drill_folder, point.cluster_bytes + log_bytes)
        with scratch_folder(self.drill_folder, self.bin_dir) as folder:
            bin_dir = pg.reachable_binaries(self.bin_dir, folder / "postgres")
            wal = folder / "wal"
            wal.mkdir()
            fetched = self._listed().fetch(
                first, last, wal, system_identifier=self.system_identifier
            )
            log(f"fetched {len(fetched)} segments, {first.name} to {last.name}")
            self._restore_files(backup, folder)
            log(f"restored {backup.location}")
            with recovered(
                server_in(folder, bin_dir),
                point,
                self.url,
                wal,
                timeout_seconds=self.timeout_seconds,
            ) as copy:
                yield copy

    def delete(self, backup: StoredBackup, others: Collection[StoredBackup], log: Log) -> None:
        """Delete a full, and the log before the oldest one that is left.

        Refused when barman would delete a segment that one of ``others`` needs. An increment is
        a place in the log: nothing of it is deleted here.
        """
        if backup.kind == "increment":
            return
        if backup.condition == "unfinished":
            # barman can't delete what it does not list.
            for upload in half_uploads(self.bucket, f"{self._base}{backup.provider_id}/"):
                abort_upload(self.bucket, upload)
            for stored in objects(self.bucket, f"{self._base}{backup.provider_id}/"):
                hide(self.bucket, stored.key)
            return
        arguments = ["--backup-id", backup.provider_id]
        self._refuse_breaking_a_chain(backup, others)
        run(
            "barman-cloud-backup-delete",
            [*arguments, "--minimum-redundancy", str(self.floor), *self._place],
            timeout_seconds=_CATALOG_TIMEOUT_SECONDS,
        )
        log(f"deleted {backup.location}")

    def hold(self, backup: StoredBackup) -> None:
        """Set barman's own keep annotation."""
        self._keep("--target", "full", backup.provider_id)

    def release(self, backup: StoredBackup) -> None:
        """Remove barman's keep annotation."""
        self._keep("--release", backup.provider_id)

    @property
    def _place(self) -> list[str]:
        return [f"s3://{self.bucket.name}/{self.folder}", self.server]

    @property
    def _base(self) -> str:
        return f"{self.folder}/{self.server}/base/"

    @property
    def _wals(self) -> str:
        return f"{self.folder}/{self.server}/wals"

    def _listed(self, name: str | None = None) -> ArchivedWal:
        part = f"{name[:16]}/{name}" if name else ""
        return list_wal(self.bucket, f"{self._wals}/{part}")

    def _copies(self) -> Copies | None:
        if self.replica is None:
            return None
        return Copies(
            self.replica,
            folders(objects(self.replica, self._base), self._base),
            list_wal(self.replica, self._wals).files.keys(),
        )

    def _take_point(self, name: str, log: Log) -> RestorePoint:
        point = take_point(self.url, name, self.mark_log, cluster=self.system_identifier)
        self.await_segment(point.mark.wal, log)
        log(f"restore point {name} at {point.mark.lsn} in {point.mark.wal}")
        return point

    def _complete(self, name: str) -> StoredBackup:
        stored = next((b for b in self.stored_backups() if b.name == name), None)
        if stored is None or stored.condition != "complete":
            problem = "it is not listed" if stored is None else stored.problem
            raise OpsError(
                f"full backup {name}",
                cause=f"barman-cloud-backup reported success, but {problem}",
                next_step="look at the bucket and at who else writes to it",
            )
        return stored

    def _keep(self, *arguments: str) -> None:
        options, backup_id = arguments[:-1], arguments[-1]
        url, server = self._place
        run(
            "barman-cloud-backup-keep",
            [*options, url, server, backup_id],
            timeout_seconds=_CATALOG_TIMEOUT_SECONDS,
        )

    def _ship_spool(self, log: Log) -> None:
        if self.spool is None:
            return
        try:
            with (
                connect(self.url, application="wal") as connection,
                only_one(connection, f"wal spool {self.spool}"),
            ):
                shipment = ship_spool(self.spool, self.bucket, self._wals, self._archive)
        except Refused:
            return  # another run ships it at this moment
        if shipment.files:
            log(f"shipped {len(shipment.files)} WAL files, {shipment.files[-1]} the last")

    def _archive(self, path: Path) -> None:
        run(
            "barman-cloud-wal-archive",
            # gzip, for its checksum; its lowest level, which takes a third of the usual one's time
            # for an eighth more bytes.
            ["--gzip", "--compression-level", "low", *self._place, str(path)],
            timeout_seconds=_WAL_TIMEOUT_SECONDS,
        )

    def _restore_files(self, backup: StoredBackup, folder: Path) -> None:
        options = []
        for name in backup.tablespaces:
            location = folder / "tablespaces" / name
            location.mkdir(parents=True)
            options += ["--tablespace", f"{name}:{location}"]
        run(
            "barman-cloud-restore",
            [*options, *self._place, backup.provider_id, str(folder / "data")],
            timeout_seconds=self.timeout_seconds,
        )
        pg.hand_over(folder)

    def _refuse_breaking_a_chain(
        self, backup: StoredBackup, others: Collection[StoredBackup]
    ) -> None:
        shown = run(
            "barman-cloud-backup-delete",
            ["--dry-run", "--backup-id", backup.provider_id, *self._place],
            timeout_seconds=_CATALOG_TIMEOUT_SECONDS,
        )
        needed = [
            Segment.parse(other.begins_at_wal, self.segment_bytes)
            for other in others
            if other.begins_at_wal is not None
        ]
        deleted = wal_deletions(shown, self.segment_bytes)
        if needed and deleted and deleted[-1] >= min(needed):
            raise Refused(
                f"delete {backup.name}",
                cause=f"barman would delete the log up to {deleted[-1].name}, and a backup that "
                f"stays needs it from {min(needed).name} on",
                next_step="look for a backup of another cluster in the folder; move it away",
            )
