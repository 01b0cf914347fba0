"""What every step of the archive is given: one run, its rules, and where it works.

A step is ``step(run, subject) -> subject``: the month, generation or thaw that it was given, as it
is afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Literal

from ft_ops.clock import utc_now
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.settings import Settings


@dataclass(frozen=True, slots=True)
class ArchiveTarget:
    """Where and how exports are written. ``part_bytes`` is compressed.

    ``open_second`` opens the bucket of the second copy, for who needs it; None: there is none.
    ``folder`` is the archive's own where ``prefix`` is a part of it: the audit log's.
    """

    bucket: Bucket
    prefix: str
    part_bytes: int
    open_second: Callable[[], Bucket] | None = None
    folder: str | None = None

    @property
    def root(self) -> str:
        """The archive's folder, which one database claims."""
        return self.prefix if self.folder is None else self.folder

    @property
    def second(self) -> Bucket | None:
        """The bucket of the second copy; an OpsError when there should be one and can't be."""
        return None if self.open_second is None else self.open_second()


@dataclass(frozen=True, slots=True)
class ClaimedFolder:
    """The archive's own folder in a bucket, and the database that wants to write there."""

    connection: Connection
    bucket: Bucket
    root: str
    clock: Callable[[], datetime] = utc_now

    @property
    def place(self) -> dict[str, str]:
        """Its name in the database."""
        return {"bucket": self.bucket.name, "prefix": self.root}

    @property
    def url(self) -> str:
        return self.bucket.url(self.root)


@dataclass(frozen=True, slots=True)
class Lock:
    """The Object Lock that frozen versions get: S3's mode, and days from the proof."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    days: int


@dataclass(frozen=True, slots=True)
class Limits:
    """When a removal pauses, and for how long at most in all before it gives up for this run.

    ``share_beside_others`` is the pace's: how much of the time the removal may take.
    """

    replication_lag_seconds: float
    latency_ms: float
    longest_pause_seconds: float
    share_beside_others: float = 1.0


@dataclass(frozen=True, slots=True)
class ArchiveRules:
    """What the settings say about months: when they are due, where they go, when they leave.

    ``share_beside_others`` is the pace's, of all but removals: their ``limits`` have their own.
    """

    retention_years: int
    purge_enabled: bool
    grace: timedelta
    storage_class: str
    lock: Lock | None
    limits: Limits
    retention_setting: str = "FT_RETENTION_YEARS"
    share_beside_others: float = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run at work on one month, whose advisory lock its connection holds.

    ``url`` opens further sessions on the same database. ``open_target`` opens the bucket, for who
    needs it. ``pace`` is asked over another session, so that a step's own may be busy.
    ``read_elsewhere`` lists what was read from a second copy.
    """

    connection: Connection
    url: str
    open_target: Callable[[], ArchiveTarget]
    rules: ArchiveRules
    run_id: str
    log: Callable[[str], None] = lambda line: None
    pace: Pace = FULL_SPEED
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    read_elsewhere: list[str] = field(default_factory=list)

    @property
    def target(self) -> ArchiveTarget:
        """Where exports go; an OpsError when the bucket can't be opened."""
        return self.open_target()

    @property
    def bucket(self) -> Bucket:
        return self.target.bucket

    @property
    def folder(self) -> ClaimedFolder:
        """Where the run writes; an OpsError when the bucket can't be opened."""
        return ClaimedFolder(self.connection, self.bucket, self.target.root, self.clock)


def archive_run(
    connection: Connection,
    settings: Settings,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
    *,
    from_replica: bool = False,
) -> Run:
    """What steps are given, by the settings of this deployment.

    With ``from_replica`` the second bucket stands for the first, which is lost.
    """
    return Run(
        connection,
        settings.require_database_url(),
        cache(lambda: replica_target(settings) if from_replica else archive_target(settings)),
        rules_of(settings),
        run_id,
        log,
    )


def archive_target(settings: Settings) -> ArchiveTarget:
    """Where exports go."""
    bucket = open_bucket(settings.require_archive_bucket())
    name, region = settings.archive_replica_bucket, settings.archive_replica_region
    return ArchiveTarget(
        bucket,
        settings.archive_prefix,
        settings.archive_part_bytes,
        None if name is None else cache(lambda: open_bucket(name, region=region)),
    )


def replica_target(settings: Settings) -> ArchiveTarget:
    """The second bucket as if it were the only one."""
    name = settings.archive_replica_bucket
    if name is None:
        raise OpsError(
            "FT_ARCHIVE_REPLICA_BUCKET",
            cause="it is not set",
            next_step="set it to the bucket of the archive's second copy",
        )
    bucket = open_bucket(name, region=settings.archive_replica_region)
    return ArchiveTarget(bucket, settings.archive_prefix, settings.archive_part_bytes)


def rules_of(settings: Settings) -> ArchiveRules:
    """What the settings say about months."""
    lock = None
    if settings.archive_lock_mode is not None:
        lock = Lock(settings.archive_lock_mode, settings.archive_lock_days)
    return ArchiveRules(
        retention_years=settings.retention_years,
        purge_enabled=settings.purge_enabled,
        grace=timedelta(days=settings.purge_grace_days),
        storage_class=settings.archive_storage_class,
        lock=lock,
        limits=Limits(
            replication_lag_seconds=settings.purge_pause_replication_lag_seconds,
            latency_ms=settings.purge_pause_latency_ms,
            longest_pause_seconds=settings.purge_longest_pause_seconds,
            share_beside_others=settings.purge_share_beside_others,
        ),
        share_beside_others=settings.archive_share_beside_others,
    )
