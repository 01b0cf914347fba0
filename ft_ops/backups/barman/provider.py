"""Backups and WAL by barman-cloud, of a server that we manage ourselves.

A full backup is barman-cloud-backup's. PostgreSQL 16 has no incremental base backup: an increment
is a named restore point and the log up to it, in the bucket.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from ft_ops.backups.barman.archived_wal import ArchivedWal, ListedLog, list_wal
from ft_ops.backups.barman.catalog import (
    Copies,
    catalog,
    folders,
    increment,
    parse_list,
    stored_increments,
)
from ft_ops.backups.barman.delete import delete_full
from ft_ops.backups.barman.log import log_state
from ft_ops.backups.barman.place import CATALOG_TIMEOUT_SECONDS, Place
from ft_ops.backups.barman.spool import ship, spooled
from ft_ops.backups.barman.unpack import restore_files
from ft_ops.backups.barman.wal import Segment, is_read_by_recovery
from ft_ops.backups.claims import claim_bucket
from ft_ops.backups.drill.recovery import recovered
from ft_ops.backups.drill.restored_folder import close_off
from ft_ops.backups.drill.scratch import refuse_too_little_room, scratch_folder, server_in
from ft_ops.backups.drill.tablespaces import keep_tablespaces_in
from ft_ops.backups.points.bucket_records import accepted_holes
from ft_ops.backups.points.mark import mark_log
from ft_ops.backups.points.points import Mark, RestorePoint, take_point
from ft_ops.backups.points.rests import NO_RESTS, RestLimits, Rests
from ft_ops.backups.provider import (
    Began,
    Log,
    LogState,
    ProviderName,
    RestoredCopy,
    RestoreSource,
    StoredBackup,
    Taken,
    unheard,
)
from ft_ops.errors import OpsError, Refused
from ft_ops.items import Failed, Worked
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.programs import connection_of, run
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import is_readable
from ft_ops.s3.objects import objects

_POLL_SECONDS: Final = 0.2
_UPLOADERS: Final = 2
_STARTED: Final = re.compile(r"Starting backup '(\w+)'")


@dataclass(frozen=True, slots=True)
class BarmanProvider:
    """One server's backups in one bucket. ``folder`` and ``server`` are barman-cloud's terms."""

    url: str = field(repr=False)
    bucket: Bucket
    folder: str
    server: str
    system_identifier: str
    segment_bytes: int
    timeline: int | None
    spool: Path | None
    replica: Bucket | None
    drill_folder: Path
    bin_dir: Path
    timeout_seconds: float
    arrival_seconds: float
    lag_seconds: float
    floor: int
    rests: RestLimits = NO_RESTS

    @property
    def name(self) -> ProviderName:
        return "barman"

    @property
    def cluster(self) -> str:
        return self.system_identifier

    @property
    def recovers_by_log(self) -> bool:
        return True

    @property
    def copy_bucket(self) -> Bucket | None:
        return self.replica

    def take_full(self, name: str, log: Log, began: Began = unheard) -> Taken:
        """Take a base backup, then mark the log, so that the log up to there makes it complete.

        barman-cloud-backup reads PGDATA: run it where it may.
        """
        target, environment = connection_of(self.url)
        # Told of what it does, for the id that it chooses: what it leaves behind is known by that.
        arguments = ["-v", "--lz4", "--immediate-checkpoint", "--jobs", str(_UPLOADERS)]

        def hear(line: str) -> None:
            if match := _STARTED.search(line):
                began(match[1])

        # Its pieces lie there until they are stored: ended early, it would leave them. Not in the
        # drills' folder, whose path may be too long for the sockets of its workers.
        with scratch_folder(Path(tempfile.gettempdir()), self.bin_dir) as folder:
            run(
                "barman-cloud-backup",
                [*arguments, "--dbname", target, "--name", name, *self.place.arguments],
                timeout_seconds=self.timeout_seconds,
                environment={**environment, "TMPDIR": str(folder)},
                heard=hear,
                # It may run on the server's own machine.
                gives_way=True,
            )
        stored = self._complete(name)
        log(f"{stored.location}: {stored.bytes:,} bytes")
        rests = Rests(self.rests)
        point = self._take_point(name, log, rests, since=stored.begins_at_wal)
        return Taken(point, stored, rests.seconds)

    def take_increment(self, name: str, log: Log) -> Taken:
        """Mark the log. There is nothing to copy: the log up to the mark is the increment."""
        rests = Rests(self.rests)
        point = self._take_point(name, log, rests)
        return Taken(point, increment(self.bucket, name), rests.seconds)

    def mark_log(self, connection: Connection, name: str) -> Mark:
        """Write a named restore point, then complete its segment so that it is archived."""
        return mark_log(connection, name)

    def await_segment(self, wal: str, log: Log, *, since: str | None = None) -> None:
        """Ship the spool, if there is one, and wait until the segment is in the bucket.

        With ``since`` only the log from that segment on is needed: a full is the cure for what is
        lost before it.
        """
        until = time.monotonic() + self.arrival_seconds
        left: set[str] = set()
        while True:
            failed = self._ship_spool(log, left)
            left |= {one.name for one in failed}
            # What its restore does not need is ship_wal's to tell, and keeps no backup from being
            # taken.
            needed = tuple(one for one in failed if is_read_by_recovery(one.name, since))
            Worked((), needed).refuse_failures(f"WAL to {wal}")
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
        Worked((), self._ship_spool(log)).refuse_failures("WAL in the spool")

    def archived_log(self) -> ListedLog:
        """What the bucket holds of the log."""
        accepted = accepted_holes(self.bucket, self.cluster)
        return ListedLog(self._listed(), self.segment_bytes, accepted, self.timeline)

    def copied_log(self) -> ListedLog | None:
        """What its copy holds of it."""
        if self.replica is None:
            return None
        copied = list_wal(self.replica, f"{self.place.wals}/")
        return ListedLog(copied, self.segment_bytes, timeline=self.timeline)

    def log_state(self, connection: Connection, since_wal: str | None) -> LogState:
        """Compare the server's log with what the bucket holds of it."""
        first = Segment.parse(since_wal, self.segment_bytes) if since_wal else None
        return log_state(connection, self.archived_log(), first, self.spool)

    def stored_backups(self) -> list[StoredBackup]:
        """What barman-cloud-backup-list names, what lies in its folder, and the increments."""
        infos = parse_list(
            run(
                "barman-cloud-backup-list",
                ["--format", "json", *self.place.arguments],
                timeout_seconds=CATALOG_TIMEOUT_SECONDS,
            )
        )
        fulls = catalog(
            infos,
            folders(objects(self.bucket, self.place.base), self.place.base),
            self._copies(),
            bucket=self.bucket,
            base=self.place.base,
            system_identifier=self.system_identifier,
            segment_bytes=self.segment_bytes,
            is_readable=partial(is_readable, self.bucket),
        )
        return [*fulls, *stored_increments(self.bucket)]

    def source(self, backup: StoredBackup, point: RestorePoint) -> RestoreSource:
        """The full itself; the log brings it to any later point."""
        return RestoreSource(backup.name, f"{backup.location} and the log to {point.mark.wal}")

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
            restore_files(self.place, backup, folder, log, timeout_seconds=self.timeout_seconds)
            for said in close_off(folder / "data", folder):
                log(said)
            pg.hand_over(folder)
            log(f"restored {backup.location}")
            server = server_in(folder, bin_dir)
            keep_tablespaces_in(server, wal, fetched, point.server_version, log)
            with recovered(
                server,
                point,
                self.url,
                wal,
                folder=folder,
                timeout_seconds=self.timeout_seconds,
            ) as copy:
                yield copy

    def delete(self, backup: StoredBackup, others: Collection[StoredBackup], log: Log) -> None:
        """Delete a full, and the log before the oldest one that is left.

        Refused when barman would delete a segment that one of ``others`` needs. An increment is
        a place in the log: nothing of it is deleted here.
        """
        if backup.kind != "increment":
            delete_full(self.place, backup, others, self.segment_bytes, self.floor, log)

    def hold(self, backup: StoredBackup) -> None:
        """Set barman's own keep annotation."""
        self._keep("--target", "full", backup.provider_id)

    def release(self, backup: StoredBackup) -> None:
        """Remove barman's keep annotation."""
        self._keep("--release", backup.provider_id)

    @property
    def place(self) -> Place:
        """Where it all lies."""
        return Place(self.bucket, self.folder, self.server)

    def _listed(self, name: str | None = None) -> ArchivedWal:
        part = f"{name[:16]}/{name}" if name else ""
        return list_wal(self.bucket, f"{self.place.wals}/{part}")

    def _copies(self) -> Copies | None:
        if self.replica is None:
            return None
        return Copies(
            self.replica,
            folders(objects(self.replica, self.place.base), self.place.base),
            list_wal(self.replica, f"{self.place.wals}/").files.keys(),
        )

    def _take_point(
        self, name: str, log: Log, rests: Rests, *, since: str | None = None
    ) -> RestorePoint:
        point = take_point(
            self.url, name, self.mark_log, cluster=self.system_identifier, rests=rests
        )
        rests.tell(log)
        self.await_segment(point.mark.wal, log, since=since)
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
        run(
            "barman-cloud-backup-keep",
            [*options, *self.place.arguments, backup_id],
            timeout_seconds=CATALOG_TIMEOUT_SECONDS,
        )

    def _ship_spool(self, log: Log, left: Collection[str] = ()) -> tuple[Failed, ...]:
        """Ship what is in the spool but what is ``left`` there; returns what could not be."""
        if self.spool is None:
            return ()
        with connect(self.url, application="wal") as connection, ExitStack() as held:
            try:
                held.enter_context(only_one(connection, f"wal spool {self.spool}"))
            except Refused:
                return ()  # another run ships it at this moment
            waiting = [path for path in spooled(self.spool) if path.name not in left]
            if not waiting:
                return ()
            # A copy of this server ships segments of the same names.
            claim_bucket(connection, self.bucket, self.cluster, f"ships {waiting[-1].name}")
            shipment = ship(
                waiting, self.bucket, self.place.wals, gives_way_seconds=self.lag_seconds / 2
            )
        if shipment.files:
            log(f"shipped {len(shipment.files)} WAL files, {shipment.files[-1]} the last")
        return shipment.failed
