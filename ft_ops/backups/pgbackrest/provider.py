"""Backups and log by pgBackRest, of a server that we manage ourselves.

A full is its full backup, and an increment its incremental one, with files of its own behind the
last backup; each with a named restore point in the log. Its own rules of retention are never let
loose: what is deleted is what our retention names.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ft_ops.backups.barman.archived_wal import ListedLog
from ft_ops.backups.barman.log import log_state
from ft_ops.backups.barman.wal import Segment
from ft_ops.backups.drill.recovery import recovered
from ft_ops.backups.drill.restored_folder import close_off
from ft_ops.backups.drill.scratch import refuse_too_little_room, scratch_folder, server_in
from ft_ops.backups.drill.tablespaces import keep_tablespaces_in
from ft_ops.backups.pgbackrest.archive import RepositoryWal, listed_log
from ft_ops.backups.pgbackrest.catalog import KEEP, NAME, StanzaCatalog, parse_info, stored_backups
from ft_ops.backups.pgbackrest.delete import delete_backup, own_rules
from ft_ops.backups.pgbackrest.repository import Repository
from ft_ops.backups.points.bucket_records import accepted_holes
from ft_ops.backups.points.mark import mark_log
from ft_ops.backups.points.points import RestorePoint, take_point
from ft_ops.backups.points.rests import NO_RESTS, RestLimits, Rests
from ft_ops.backups.provider import (
    Began,
    Kind,
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
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.pg.supervision.walls import Walls
from ft_ops.s3.bucket import Bucket

_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class PgBackRestProvider:
    """One stanza of one repository; ``bucket`` has the points and the certificates."""

    url: str = field(repr=False)
    bucket: Bucket
    repository: Repository
    system_identifier: str
    segment_bytes: int
    timeline: int | None
    drill_folder: Path
    bin_dir: Path
    timeout_seconds: float
    arrival_seconds: float
    lag_seconds: float
    rests: RestLimits = NO_RESTS

    @property
    def name(self) -> ProviderName:
        return "pgbackrest"

    @property
    def cluster(self) -> str:
        return self.system_identifier

    @property
    def recovers_by_log(self) -> bool:
        return True

    @property
    def copy_bucket(self) -> None:
        """None: a repository elsewhere has backups of its own, and no copies of these."""
        return None

    def take_full(
        self,
        name: str,
        log: Log,
        began: Began = unheard,  # noqa: ARG002  it is known by our own name from the start
    ) -> Taken:
        """Take a full backup, then mark the log, so that the log up to there makes it complete."""
        return self._take(name, "full", log)

    def take_increment(self, name: str, log: Log) -> Taken:
        """Take what has changed since the last backup, then mark the log."""
        if not self._catalog().fulls:
            raise Refused(
                f"incremental backup {name}",
                cause="pgBackRest has no full backup that it could follow, and would take one",
                next_step="run full_backup first",
            )
        return self._take(name, "increment", log)

    def replicate(self, log: Log) -> None:
        """Nothing: pgBackRest takes a backup for each repository, and copies none."""

    def ship_log(self, connection: Connection, log: Log) -> None:
        """Complete a segment that has been open for too long; archive-push ships it."""
        state = self._log_state(connection, None)
        if state.lag_seconds > self.lag_seconds:
            connection.execute(statement("backups/switch_wal"))
            log(f"completed the open segment: {state.lag_seconds:.0f} s were not archived")

    def archived_log(self) -> ListedLog:
        """What the repository holds of the log."""
        accepted = accepted_holes(self.bucket, self.cluster)
        return ListedLog(self._listed(), self.segment_bytes, accepted, self.timeline)

    def copied_log(self) -> None:
        """None: no copy is kept."""

    def log_state(self, connection: Connection, since_wal: str | None) -> LogState:
        """Compare the server's log with what the repository holds of it, and will go on holding."""
        state = self._log_state(connection, since_wal)
        others = [f"pgBackRest's own retention: {line}" for line in own_rules(self.repository)]
        return replace(state, problems=(*state.problems, *others))

    def stored_backups(self) -> list[StoredBackup]:
        """What `info` names, and what lies in the stanza's folder besides."""
        folder = f"backup/{self.repository.stanza}"
        return stored_backups(
            self._catalog(),
            self.repository.files(folder),
            system_identifier=self.system_identifier,
            place=f"repository {self.repository.number}, {folder}",
        )

    def source(self, backup: StoredBackup, point: RestorePoint) -> RestoreSource:
        """The backup itself; the log brings it to any later point."""
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
            server = server_in(folder, bin_dir)
            self._restore_files(backup, folder, log)
            log(f"restored {backup.location}")
            wal = folder / "wal"
            wal.mkdir()
            fetched = self._listed(server.data_dir).fetch(
                first, last, wal, system_identifier=self.system_identifier
            )
            log(f"fetched {len(fetched)} segments, {first.name} to {last.name}")
            for said in close_off(server.data_dir, folder):
                log(said)
            pg.hand_over(folder)
            keep_tablespaces_in(server, wal, fetched, point.server_version, log)
            with recovered(
                server, point, self.url, wal, folder=folder, timeout_seconds=self.timeout_seconds
            ) as copy:
                yield copy

    def delete(self, backup: StoredBackup, others: Collection[StoredBackup], log: Log) -> None:
        """Delete one backup, and the log before the oldest full that is left.

        Refused when pgBackRest would take anything else, and while a full is being taken.
        """
        with (
            connect(self.url, application="backups") as connection,
            only_one(connection, "full backup"),
        ):
            catalog = self._catalog()
            delete_backup(self.repository, catalog, backup, others, self.segment_bytes, log)

    def hold(self, backup: StoredBackup) -> None:
        """Annotate it, for whoever looks at pgBackRest's own list."""
        self._annotate(backup, f"{KEEP}=true")

    def release(self, backup: StoredBackup) -> None:
        """Remove the annotation."""
        self._annotate(backup, f"{KEEP}=")

    def _log_state(self, connection: Connection, since_wal: str | None) -> LogState:
        first = Segment.parse(since_wal, self.segment_bytes) if since_wal else None
        return log_state(connection, self.archived_log(), first, None)

    def _annotate(self, backup: StoredBackup, annotation: str) -> None:
        self.repository.ask("annotate", f"--set={backup.provider_id}", f"--annotation={annotation}")

    def _catalog(self) -> StanzaCatalog:
        return parse_info(self.repository.info(), self.repository.stanza, self.repository.number)

    def _listed(self, data: Path | None = None) -> RepositoryWal:
        archive = self._catalog().archive_of(self.system_identifier)
        if archive is None:
            raise OpsError(
                f"stanza {self.repository.stanza}",
                cause=f"it is of another cluster than {self.system_identifier}",
                next_step="let FT_PGBACKREST_STANZA name this cluster's; see `pgbackrest info`",
            )
        files = self.repository.files(f"archive/{self.repository.stanza}/{archive}")
        return listed_log(files, self.bucket, self.repository, data)

    def _take(self, name: str, kind: Kind, log: Log) -> Taken:
        self.repository.work(
            "backup",
            f"--type={'full' if kind == 'full' else 'incr'}",
            f"--annotation={NAME}={name}",
            # What goes, and when, is for our retention to say.
            "--no-expire-auto",
            "--start-fast",
            timeout_seconds=self.timeout_seconds,
            # It may run on the server's own machine.
            gives_way=True,
        )
        stored = self._complete(name, kind)
        log(f"{stored.location}: {stored.bytes:,} bytes")
        rests = Rests(self.rests)
        point = take_point(self.url, name, mark_log, cluster=self.system_identifier, rests=rests)
        rests.tell(log)
        self._await_segment(point.mark.wal)
        log(f"restore point {name} at {point.mark.lsn} in {point.mark.wal}")
        return Taken(point, stored, rests.seconds)

    def _complete(self, name: str, kind: Kind) -> StoredBackup:
        stored = next((b for b in self.stored_backups() if b.name == name), None)
        problem = stored.problem if stored is not None else "it is not listed"
        if stored is not None and stored.condition == "complete" and stored.kind != kind:
            problem = "it took a full one"
        if stored is None or problem is not None:
            raise OpsError(
                f"{kind} backup {name}",
                cause=f"pgbackrest backup reported success, but {problem}",
                next_step="see `pgbackrest info`, and who else writes to the repository",
            )
        return stored

    def _await_segment(self, wal: str) -> None:
        until = time.monotonic() + self.arrival_seconds
        while wal not in self._listed().files:
            if time.monotonic() > until:
                raise OpsError(
                    f"WAL segment {wal}",
                    cause=f"it did not arrive in the repository within {self.arrival_seconds:g} s",
                    next_step="see pg_stat_archiver and the server's log for what archive-push "
                    "says; `pgbackrest check` tries it",
                )
            time.sleep(_POLL_SECONDS)

    def _restore_files(self, backup: StoredBackup, folder: Path, log: Log) -> None:
        """Restore where nothing else can be written, whatever the original's paths are."""
        data = folder / "data"
        data.mkdir(mode=0o700)
        log(f"restoring {backup.provider_id}")
        self.repository.work(
            "restore",
            f"--set={backup.provider_id}",
            "--type=preserve",
            f"--pg1-path={data}",
            "--reset-pg1-host",
            f"--tablespace-map-all={folder / 'tablespaces'}",
            f"--lock-path={folder / 'pgbackrest'}",
            timeout_seconds=self.timeout_seconds,
            walls=Walls((folder,)),
        )
