"""What the archive's Dagster definitions share: launch configs, the month's lock, the target."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
from pydantic import Field

from ft_ops.archive.purge.gates import Gate, PurgeRules
from ft_ops.archive.purge.throttle import Limits, Throttle
from ft_ops.archive.store.export import ArchiveTarget
from ft_ops.archive.store.freeze import Lock
from ft_ops.months import Month
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.s3.bucket import open_bucket
from ft_ops.settings import Settings

UNFINISHED = frozenset(
    {"archiving", "archived", "exporting", "exported", "proving", "proven", "freezing"}
)
"""States from which `archive_old_content` has something left to do."""


class DryRunOff(dg.Config):
    """Launch config of what moves or copies a month."""

    dry_run: bool = Field(
        default=False, description="Only look: show what would be done and what is in the way."
    )


class DryRunOn(dg.Config):
    """Launch config of what deletes: by hand it is a dry run unless you say otherwise."""

    dry_run: bool = Field(
        default=True,
        description="Only look: evaluate every gate and delete nothing. The schedule turns this "
        "off; FT_PURGE_ENABLED must be true besides.",
    )


@contextmanager
def month_at_work(database: DatabaseResource, month: Month) -> Iterator[Connection]:
    """A connection that holds the month's advisory lock: one run a month at any time.

    What goes wrong in the block is a failure of the run.
    """
    with as_failure(), one_of_several(database, month) as connection:
        yield connection


@contextmanager
def one_of_several(database: DatabaseResource, month: Month) -> Iterator[Connection]:
    """The same in a run that is at work on several months: its errors are that month's alone."""
    with (
        database.connect("archive") as connection,
        only_one(connection, f"archive {month}"),
    ):
        yield connection


def archive_target(settings: Settings, pace: Pace = FULL_SPEED) -> ArchiveTarget:
    """Where exports go."""
    bucket = open_bucket(settings.require_archive_bucket())
    return ArchiveTarget(bucket, settings.archive_prefix, settings.archive_part_bytes, pace)


def object_lock(settings: Settings) -> Lock | None:
    """The Object Lock that frozen versions get, if any."""
    if settings.archive_lock_mode is None:
        return None
    return Lock(settings.archive_lock_mode, settings.archive_lock_days)


def purge_rules(settings: Settings) -> PurgeRules:
    """When a purge may happen at all."""
    return PurgeRules(
        settings.purge_enabled, timedelta(days=settings.purge_grace_days), settings.retention_years
    )


def throttle(connection: Connection, settings: Settings, log: Callable[[str], None]) -> Throttle:
    """What pauses a removal."""
    limits = Limits(
        replication_lag_seconds=settings.purge_pause_replication_lag_seconds,
        latency_ms=settings.purge_pause_latency_ms,
        longest_pause_seconds=settings.purge_longest_pause_seconds,
        share_beside_others=settings.archive_share_beside_others,
    )
    return Throttle(connection, limits, log)


def gates_table(gates: Iterable[Gate]) -> dg.MetadataValue:
    """Gates as a metadata table, closed ones first."""
    ordered = sorted(gates, key=lambda gate: gate.passed)
    return table(["gate", "open", "detail"], ((g.name, g.passed, g.detail) for g in ordered))
