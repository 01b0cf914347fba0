"""Backups of an Amazon RDS instance: snapshots, point-in-time recovery, copies in another region.

A full is a manual snapshot: automated ones end with 35 days, or with their instance. An increment
is a moment to recover to, and a snapshot besides, which outlives that too. Storage belongs to RDS
and nobody sees its files, so a drill asks a temporary instance, and block checksums are its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

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
from ft_ops.backups.rds.catalog import automation_problems, kind_of, stored
from ft_ops.backups.rds.copies import begin_copies, delete_copy
from ft_ops.backups.rds.copy import RdsCopy, evidence, shape_of, url_at
from ft_ops.backups.rds.entrance import let_in
from ft_ops.backups.rds.instances import (
    DRILL_TAG,
    KEEP_TAG,
    Patience,
    delete_snapshot,
    read_instance,
    read_snapshot,
    refuse_held,
    snapshots,
    sweep_drills,
    temporary_instance,
)
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket, naming

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBSnapshotTypeDef

RESOLUTION: Final = timedelta(seconds=1)
"""RDS recovers to whole seconds."""

_POLL_SECONDS: Final = 15.0
_AFTERWARDS: Final = 0.05
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RdsProvider:
    """The backups of one instance.

    ``copies`` speaks to the region for disaster recovery, ``copies_key`` is the KMS key there
    that copies of encrypted snapshots need.
    """

    url: str = field(repr=False)
    instance: str
    client: RDSClient
    region: str
    copies: RDSClient | None
    copies_key: str | None
    patience: Patience
    arrival_seconds: float
    url_of: Callable[[str, str, int], str] = url_at
    resolution: timedelta = RESOLUTION
    replica: Bucket | None = None
    rests: RestLimits = NO_RESTS

    @property
    def name(self) -> ProviderName:
        return "rds"

    @property
    def cluster(self) -> str:
        # An instance that is made anew under the same name has another one.
        return read_instance(self.client, self.instance).get("DbiResourceId", "")

    @property
    def recovers_by_log(self) -> bool:
        # Its log leads from the snapshots that it takes itself, never from a manual one.
        return False

    @property
    def copy_bucket(self) -> Bucket | None:
        return self.replica

    def take_full(self, name: str, log: Log, began: Began = unheard) -> Taken:
        """Take a manual snapshot.

        What changes while the snapshot is being made is not fingerprinted: nobody can say what
        it holds of that.
        """

        def mark(connection: Connection, _: str) -> Mark:
            began(name)
            self._take_snapshot(name, log)
            return self._mark_moment(connection)

        rests = Rests(self.rests)
        return Taken(self._take_point(name, mark, log, rests), self._stored(name), rests.seconds)

    def take_increment(self, name: str, log: Log) -> Taken:
        """Mark a moment of the log and wait until it can be recovered to; then a snapshot."""
        rests = Rests(self.rests)

        def mark(connection: Connection, _: str) -> Mark:
            return self._mark_moment(connection)

        point = self._take_point(name, mark, log, rests)
        self._take_snapshot(name, log)
        return Taken(point, self._stored(name), rests.seconds)

    def replicate(self, log: Log) -> None:
        """Begin a copy in the other region of each full that has none, or a failed one.

        A copy takes long; the inventory watches it.
        """
        if self.copies is None:
            return
        begin_copies(
            self.copies,
            self.stored_backups(),
            {
                copy["DBSnapshotIdentifier"]: copy.get("Status", "")
                for copy in snapshots(self.copies, self.instance, "manual")
            },
            region=self.region,
            key=self.copies_key,
            log=log,
        )

    def ship_log(self, connection: Connection, log: Log) -> None:
        """Nothing: RDS ships its log itself, every five minutes."""

    def archived_log(self) -> None:
        """RDS shows its log to nobody."""

    def copied_log(self) -> None:
        """Nor a copy of it: a snapshot in the other region is complete in itself."""

    def log_state(
        self,
        connection: Connection,
        since_wal: str | None,  # noqa: ARG002  RDS shows no segments
    ) -> LogState:
        """How far the instance can be recovered, by its own account."""
        row = one_row(connection.execute(statement("backups/wal_position")))
        now: datetime = row[2]
        instance = read_instance(self.client, self.instance)
        restorable_to = instance.get("LatestRestorableTime")
        automated = snapshots(self.client, self.instance, "automated")
        lag = (now - restorable_to).total_seconds() if restorable_to is not None else math.inf
        return LogState(
            restorable_to=restorable_to,
            lag_seconds=max(lag, 0.0),
            problems=tuple(automation_problems(instance, automated, now)),
            details={
                "automated snapshots": str(len(automated)),
                "automated backups are kept": f"{instance.get('BackupRetentionPeriod', 0)} days",
                "backup window": instance.get("PreferredBackupWindow", "(none)"),
            },
        )

    def stored_backups(self) -> list[StoredBackup]:
        """The manual snapshots that these operations took, oldest first."""
        resource_id = self.cluster
        copies: dict[str, DBSnapshotTypeDef] | None = None
        if self.copies is not None:
            found = snapshots(self.copies, self.instance, "manual")
            copies = {snapshot["DBSnapshotIdentifier"]: snapshot for snapshot in found}
        return [
            stored(snapshot, kind, resource_id, copies if kind == "full" else None)
            for snapshot in snapshots(self.client, self.instance, "manual")
            if (kind := kind_of(snapshot["DBSnapshotIdentifier"])) is not None
        ]

    def source(self, backup: StoredBackup, point: RestorePoint) -> RestoreSource:
        """The snapshot for its own point; any other moment is of what RDS itself took."""
        if point.name == backup.name:
            return RestoreSource(backup.name, backup.location)
        return RestoreSource(
            None, f"the snapshots and the log that RDS itself keeps of {self.instance}"
        )

    @contextmanager
    def restore(
        self, backup: StoredBackup, point: RestorePoint, log: Log
    ) -> Iterator[RestoredCopy]:
        """Run a temporary instance: of the snapshot for its own point, else of that moment.

        Instances that killed drills left are deleted first. Where the passwords of today are
        refused, the copy is given new ones.
        """
        sweep_drills(self.client, self.instance, log)
        make = partial(self._restore_moment, point)
        if self.source(backup, point).backup is not None:
            make = partial(self._restore_snapshot, backup)
        with temporary_instance(
            self.client, self.instance, point.name, make, self.patience
        ) as made:
            endpoint = made.get("Endpoint", {})
            url = self.url_of(self.url, endpoint.get("Address", ""), endpoint.get("Port", 5432))
            url = let_in(self.client, made, url, self.patience, log)
            yield RdsCopy(url, evidence(url, point, made))

    def delete(
        self,
        backup: StoredBackup,
        others: Collection[StoredBackup],  # noqa: ARG002  snapshots don't need each other
        log: Log,
    ) -> None:
        """Delete a snapshot and its copy; Refused when it is held since it was listed.

        The copy first: what is left of a try that failed is listed, and is tried again.
        """
        refuse_held(self.client, backup.name)
        if self.copies is not None:
            delete_copy(self.copies, backup.name, backup.location)
        delete_snapshot(self.client, backup.name)
        log(f"deleted {backup.location}")

    def hold(self, backup: StoredBackup) -> None:
        """Tag the snapshot."""
        with naming(f"RDS snapshot {backup.name}"):
            self.client.add_tags_to_resource(
                ResourceName=backup.location, Tags=[{"Key": KEEP_TAG, "Value": "true"}]
            )

    def release(self, backup: StoredBackup) -> None:
        """Remove the tag."""
        with naming(f"RDS snapshot {backup.name}"):
            self.client.remove_tags_from_resource(ResourceName=backup.location, TagKeys=[KEEP_TAG])

    def _stored(self, name: str) -> StoredBackup:
        found = next((backup for backup in self.stored_backups() if backup.name == name), None)
        if found is None or found.condition != "complete":
            raise OpsError(
                f"RDS snapshot {name}",
                cause="it is not listed" if found is None else str(found.problem),
                next_step="see the instance's events in the RDS console",
            )
        return found

    def _take_point(
        self, name: str, mark: Callable[[Connection, str], Mark], log: Log, rests: Rests
    ) -> RestorePoint:
        point = take_point(
            self.url,
            name,
            mark,
            cluster=self.cluster,
            rests=rests,
            sleep=self.patience.sleep,
            clock=self.patience.clock,
        )
        rests.tell(log)
        self._await_restorable(point, log)
        return point

    def _mark_moment(self, connection: Connection) -> Mark:
        """The next moment that RDS can recover to, once it has passed."""
        row = one_row(connection.execute(statement("backups/wal_position")))
        lsn, wal, now = row
        moment = now - (now - _EPOCH) % self.resolution + self.resolution
        connection.execute(
            statement("backups/sleep"), {"seconds": (moment - now).total_seconds() + _AFTERWARDS}
        )
        return Mark(lsn=lsn, wal=wal, time=moment)

    def _await_restorable(self, point: RestorePoint, log: Log) -> None:
        assert point.mark.time is not None
        until = self.patience.clock() + self.arrival_seconds
        while True:
            reached = read_instance(self.client, self.instance).get("LatestRestorableTime")
            if reached is not None and reached >= point.mark.time:
                log(f"recoverable to {reached:%F %T}Z")
                return
            if self.patience.clock() > until:
                shown = f"{reached:%F %T}Z" if reached is not None else "no moment at all"
                raise OpsError(
                    f"restore point {point.name}",
                    cause=f"RDS can recover {self.instance} to {shown}, and the point is at "
                    f"{point.mark.time:%F %T}Z",
                    next_step="see the instance's events for what holds its log up; it is shipped "
                    "every five minutes",
                )
            self.patience.sleep(_POLL_SECONDS)

    def _take_snapshot(self, name: str, log: Log) -> None:
        with naming(f"RDS snapshot {name}"):
            self.client.create_db_snapshot(
                DBSnapshotIdentifier=name, DBInstanceIdentifier=self.instance
            )

        def read() -> tuple[None, str]:
            return None, read_snapshot(self.client, name).get("Status", "")

        self.patience.poll(f"RDS snapshot {name}", read, "available")
        log(f"snapshot {name} is available")

    def _restore_snapshot(self, backup: StoredBackup, target: str) -> None:
        source = read_instance(self.client, self.instance)
        self.client.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=target,
            DBSnapshotIdentifier=backup.name,
            Tags=[{"Key": DRILL_TAG, "Value": self.instance}],
            **shape_of(source),
        )

    def _restore_moment(self, point: RestorePoint, target: str) -> None:
        assert point.mark.time is not None
        source = read_instance(self.client, self.instance)
        self.client.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier=self.instance,
            TargetDBInstanceIdentifier=target,
            RestoreTime=point.mark.time,
            Tags=[{"Key": DRILL_TAG, "Value": self.instance}],
            **shape_of(source),
        )
