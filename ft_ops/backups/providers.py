"""The provider of this deployment, by its policy."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import boto3

from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.dump.dump import DumpRules
from ft_ops.backups.provider import BackupProvider
from ft_ops.backups.rds.instances import Patience
from ft_ops.backups.rds.provider import RdsProvider
from ft_ops.backups.retention.retention import Rules
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.server import embedded_binaries
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket, naming, open_bucket
from ft_ops.settings import Policy


def backup_bucket(policy: Policy) -> Bucket:
    """The bucket of the backups, open."""
    return open_bucket(policy.require_backup_bucket())


def open_provider(policy: Policy, connection: Connection, bucket: Bucket) -> BackupProvider:
    """The provider that FT_BACKUP_PROVIDER names, for the cluster of ``connection``."""
    if policy.backup_provider == "barman":
        return _barman(policy, connection, bucket)
    if policy.backup_provider == "rds":
        return _rds(policy)
    raise OpsError(
        "FT_BACKUP_PROVIDER",
        cause="it is not set",
        next_step="set it to barman, or to rds on Amazon RDS",
    )


def retention_rules(policy: Policy) -> Rules:
    """How much is kept."""
    return Rules(
        days=policy.backup_keep_days,
        weeks=policy.backup_keep_weeks,
        months=policy.backup_keep_months,
        floor=policy.backup_floor,
        stale=timedelta(hours=policy.backup_stale_hours),
    )


def replicates(policy: Policy) -> bool:
    """Whether copies are kept in another region."""
    if policy.backup_provider == "rds":
        return policy.dr_region is not None
    return policy.dr_bucket is not None


def replica_lag(policy: Policy) -> timedelta:
    """How old the newest copy there may be."""
    return timedelta(hours=policy.dr_lag_hours)


def drill_folder(policy: Policy) -> Path:
    """Where drills restore to."""
    return policy.drill_folder or Path(tempfile.gettempdir())


def server_programs(policy: Policy) -> Path:
    """The folder of PostgreSQL's programs for drills and dumps."""
    return policy.pg_bin_dir or embedded_binaries()


def dump_rules(policy: Policy) -> DumpRules:
    """How the monthly dump is made."""
    return DumpRules(
        bin_dir=server_programs(policy),
        drill_folder=drill_folder(policy),
        storage_class=policy.dump_storage_class,
        timeout_seconds=policy.backup_timeout_minutes * 60,
    )


def _rds(policy: Policy) -> RdsProvider:
    if policy.rds_instance is None:
        raise OpsError(
            "FT_RDS_INSTANCE",
            cause="it is not set, and FT_BACKUP_PROVIDER is rds",
            next_step="set it to the identifier of the instance",
        )
    with naming("RDS"):
        client = boto3.client("rds")
        copies = boto3.client("rds", region_name=policy.dr_region) if policy.dr_region else None
    return RdsProvider(
        url=policy.require_database_url(),
        instance=policy.rds_instance,
        client=client,
        region=client.meta.region_name,
        copies=copies,
        copies_key=policy.dr_kms_key,
        patience=Patience(policy.backup_timeout_minutes * 60),
        arrival_seconds=policy.wal_arrival_seconds,
    )


def _barman(policy: Policy, connection: Connection, bucket: Bucket) -> BarmanProvider:
    row = connection.execute(statement("backups/cluster")).fetchone()
    assert row is not None
    replica = None
    if policy.dr_bucket is not None:
        replica = open_bucket(policy.dr_bucket, region=policy.dr_region)
    return BarmanProvider(
        url=policy.require_database_url(),
        bucket=bucket,
        folder=policy.backup_prefix,
        server=policy.backup_server,
        system_identifier=row[0],
        segment_bytes=row[1],
        spool=policy.wal_spool,
        replica=replica,
        drill_folder=drill_folder(policy),
        bin_dir=server_programs(policy),
        timeout_seconds=policy.backup_timeout_minutes * 60,
        arrival_seconds=policy.wal_arrival_seconds,
        lag_seconds=policy.wal_lag_seconds,
        floor=policy.backup_floor,
    )
