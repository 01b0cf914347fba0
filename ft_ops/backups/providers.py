"""The provider of this deployment, by its settings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.drill.session import NextStep
from ft_ops.backups.dump.dump import DumpRules
from ft_ops.backups.pgbackrest.provider import PgBackRestProvider
from ft_ops.backups.pgbackrest.repository import Repository
from ft_ops.backups.points.rests import RestLimits
from ft_ops.backups.provider import BackupProvider, Log
from ft_ops.backups.rds.instances import Patience
from ft_ops.backups.rds.provider import RdsProvider
from ft_ops.backups.rds.storage import ProvidedStorage, instance_storage
from ft_ops.backups.retention.retention import Rules
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.server import embedded_binaries
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket, client_of, naming, open_bucket
from ft_ops.settings import Settings

AfterDrill: TypeAlias = Callable[[Connection, Settings, str, Log], NextStep | None]
"""Makes what a drill does in its proven copy, of the database, the settings, the run and its log.

Dagster's resource ``after_drill``: another room brings it.
"""


@dataclass(frozen=True, slots=True)
class Workplace:
    """What everything in this room works with."""

    connection: Connection
    provider: BackupProvider
    bucket: Bucket
    settings: Settings


def open_workplace(settings: Settings, connection: Connection) -> Workplace:
    """The provider and the bucket of the settings, open."""
    bucket = backup_bucket(settings)
    return Workplace(connection, open_provider(settings, connection, bucket), bucket, settings)


def backup_bucket(settings: Settings) -> Bucket:
    """The bucket of the backups, open."""
    return open_bucket(settings.require_backup_bucket(), endpoint_url=settings.backup_endpoint_url)


def open_provider(settings: Settings, connection: Connection, bucket: Bucket) -> BackupProvider:
    """The provider that FT_BACKUP_PROVIDER names, for the cluster of ``connection``."""
    if settings.backup_provider == "barman":
        return _barman(settings, connection, bucket)
    if settings.backup_provider == "pgbackrest":
        return _pgbackrest(settings, connection, bucket)
    if settings.backup_provider == "rds":
        return _rds(settings)
    raise OpsError(
        "FT_BACKUP_PROVIDER",
        cause="it is not set",
        next_step="set it to barman or pgbackrest, or to rds on Amazon RDS",
    )


def retention_rules(settings: Settings) -> Rules:
    """How much is kept."""
    return Rules(
        days=settings.backup_keep_days,
        weeks=settings.backup_keep_weeks,
        months=settings.backup_keep_months,
        floor=settings.backup_floor,
        stale=timedelta(hours=settings.backup_stale_hours),
    )


def replicates(settings: Settings) -> bool:
    """Whether copies are kept in another region."""
    if settings.backup_provider == "rds":
        return settings.dr_region is not None
    return settings.backup_provider == "barman" and settings.dr_bucket is not None


def longest_copy_lag(settings: Settings) -> timedelta:
    """How old the newest copy there may be."""
    return timedelta(hours=settings.dr_lag_hours)


def drill_folder(settings: Settings) -> Path:
    """Where drills restore to."""
    return settings.drill_folder or Path(tempfile.gettempdir())


def server_programs(settings: Settings) -> Path:
    """The folder of PostgreSQL's programs for drills and dumps."""
    return settings.pg_bin_dir or embedded_binaries()


def dump_rules(settings: Settings) -> DumpRules:
    """How the monthly dump is made."""
    return DumpRules(
        bin_dir=server_programs(settings),
        drill_folder=drill_folder(settings),
        storage_class=settings.dump_storage_class,
        timeout_seconds=settings.backup_timeout_minutes * 60,
    )


def _rds(settings: Settings) -> RdsProvider:
    if settings.rds_instance is None:
        raise OpsError(
            "FT_RDS_INSTANCE",
            cause="it is not set, and FT_BACKUP_PROVIDER is rds",
            next_step="set it to the identifier of the instance",
        )
    with naming("RDS"):
        client = client_of("rds")
        copies = client_of("rds", region_name=settings.dr_region) if settings.dr_region else None
    return RdsProvider(
        url=settings.require_database_url(),
        instance=settings.rds_instance,
        client=client,
        region=client.meta.region_name,
        copies=copies,
        copies_key=settings.dr_kms_key,
        patience=Patience(settings.backup_timeout_minutes * 60),
        arrival_seconds=settings.wal_arrival_seconds,
        replica=_copy_bucket(settings),
        rests=_rest_limits(settings),
    )


def provided_storage(settings: Settings) -> ProvidedStorage | None:
    """How large the server's volumes are; None if this provider does not know it."""
    if settings.backup_provider != "rds" or settings.rds_instance is None:
        return None
    with naming("RDS"):
        client = client_of("rds")
    return instance_storage(client, settings.rds_instance)


def _copy_bucket(settings: Settings) -> Bucket | None:
    if settings.dr_bucket is None:
        return None
    return open_bucket(settings.dr_bucket, region=settings.dr_region)


def _pgbackrest(settings: Settings, connection: Connection, bucket: Bucket) -> PgBackRestProvider:
    row = one_row(connection.execute(statement("backups/cluster")))
    return PgBackRestProvider(
        url=settings.require_database_url(),
        bucket=bucket,
        repository=Repository(
            settings.pgbackrest_config, settings.pgbackrest_stanza, settings.pgbackrest_repository
        ),
        system_identifier=row[0],
        segment_bytes=row[1],
        timeline=row[2],
        drill_folder=drill_folder(settings),
        bin_dir=server_programs(settings),
        timeout_seconds=settings.backup_timeout_minutes * 60,
        arrival_seconds=settings.wal_arrival_seconds,
        lag_seconds=settings.wal_lag_seconds,
        rests=_rest_limits(settings),
    )


def _barman(settings: Settings, connection: Connection, bucket: Bucket) -> BarmanProvider:
    row = one_row(connection.execute(statement("backups/cluster")))
    return BarmanProvider(
        url=settings.require_database_url(),
        bucket=bucket,
        folder=settings.backup_prefix,
        server=settings.backup_server,
        system_identifier=row[0],
        segment_bytes=row[1],
        timeline=row[2],
        spool=settings.wal_spool,
        replica=_copy_bucket(settings),
        drill_folder=drill_folder(settings),
        bin_dir=server_programs(settings),
        timeout_seconds=settings.backup_timeout_minutes * 60,
        arrival_seconds=settings.wal_arrival_seconds,
        lag_seconds=settings.wal_lag_seconds,
        floor=settings.backup_floor,
        rests=_rest_limits(settings),
    )


def _rest_limits(settings: Settings) -> RestLimits:
    return RestLimits(settings.backup_share_beside_others, settings.backup_longest_rest_seconds)
