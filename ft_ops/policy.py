"""Every knob of the operations: its type, unit, safe default and FT_* variable.

Nothing else reads the environment, but for AWS settings, which are boto3's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ft_ops.errors import OpsError
from ft_ops.months import Month

GlacierClass = Literal["GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]


def _month(value: object) -> object:
    return Month.parse(value) if isinstance(value, str) else value


def _names(value: object) -> object:
    if isinstance(value, str):
        return frozenset(name.strip() for name in value.split(",") if name.strip())
    return value


class Policy(BaseSettings):
    """The validated settings of one deployment. Durations carry their unit in their name."""

    model_config = SettingsConfigDict(
        env_prefix="FT_", frozen=True, extra="ignore", enable_decoding=False
    )

    database_url: SecretStr | None = Field(
        default=None, description="The application's database, as the operations role."
    )
    dagster_database_url: SecretStr | None = Field(
        default=None, description="Dagster's own storage, as postgresql+psycopg2://…"
    )

    first_month: Annotated[Month, BeforeValidator(_month)] = Field(
        default=Month(2024, 1), description="Where the monthly partition definitions begin."
    )
    partition_lookahead_months: int = Field(
        default=3, ge=1, le=120, description="Months ahead of the current one that have partitions."
    )
    require_extensions: Annotated[frozenset[str], BeforeValidator(_names)] = Field(
        default=frozenset(), description="Extensions, comma separated, whose absence is an error."
    )

    archive_bucket: str | None = Field(
        default=None, description="The versioned bucket of the archive."
    )
    archive_prefix: str = Field(
        default="archive",
        description="The archive's folder in its bucket, without slashes at its ends.",
    )
    archive_storage_class: GlacierClass = Field(
        default="DEEP_ARCHIVE", description="Where a month's objects go once it is proven."
    )
    retention_years: int = Field(
        default=7, ge=1, description="A month is due for the archive this many years after its end."
    )
    archive_part_bytes: int = Field(
        default=256 << 20,
        ge=1 << 20,
        le=4 << 30,
        description="Compressed bytes after which an export begins the next object; one copy "
        "request moves at most 5 GB.",
    )
    archive_lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] | None = Field(
        default=None,
        description="The Object Lock that frozen versions get. COMPLIANCE can't be lifted by "
        "anyone before its end, not even for an erasure.",
    )
    archive_lock_days: int = Field(
        default=365, ge=1, description="Days from the proof that an Object Lock lasts."
    )
    archive_prices_file: Path | None = Field(
        default=None, description="A price list of your own for thaws, as JSON."
    )
    thaw_days: int = Field(
        default=14, ge=1, description="Days that a thawed month stays in the database."
    )
    longest_snapshot_seconds: int = Field(
        default=300,
        ge=1,
        description="A transaction open for longer is named as a blocker before a detach.",
    )
    purge_enabled: bool = Field(
        default=False, description="Whether proven months may be removed from the database at all."
    )
    purge_grace_days: int = Field(
        default=30, ge=0, description="Days between a month's proof and its purge."
    )

    purge_pause_latency_ms: float = Field(
        default=20.0,
        gt=0,
        description="A purge pauses while a small query of the application's kind takes longer, "
        "or five times longer than it did at the start, whichever is more.",
    )
    purge_pause_replication_lag_seconds: float = Field(
        default=10.0, gt=0, description="A purge pauses while a replica lags further behind."
    )
    purge_longest_pause_seconds: float = Field(
        default=900.0, ge=0, description="Pauses of one purge, added up, before it gives up."
    )

    ecs_task_role_prefix: str | None = Field(
        default=None,
        description="On Amazon ECS: what the ARNs of the jobs' roles begin with. A run gets the "
        "role of this prefix and its job's name.",
    )
    k8s_service_account_prefix: str | None = Field(
        default=None,
        description="On Kubernetes: what the names of the jobs' service accounts begin with. A "
        "run gets the account of this prefix and its job's name, hyphens for underscores.",
    )

    maintenance_window_minutes: int = Field(
        default=240,
        ge=1,
        description="Minutes that one run of vacuums, freezes or index rebuilds may take.",
    )
    reindex_min_mb: int = Field(
        default=10, ge=0, description="Smaller indexes (MB) are never rebuilt on a schedule."
    )
    reindex_min_percent: int = Field(
        default=30,
        ge=1,
        le=100,
        description="Share of an index, in percent, that a rebuild must be estimated to free.",
    )
    reindex_min_reclaim_mb: int = Field(
        default=8, ge=0, description="MB that a rebuild must be estimated to free."
    )
    reindex_cooldown_days: int = Field(
        default=10, ge=0, description="Days in which a rebuilt index is left alone."
    )
    reindex_longest_snapshot_seconds: int = Field(
        default=30,
        ge=1,
        description="An index waits while a snapshot of the database, or a writer on its table, "
        "is open for longer.",
    )
    reindex_max_lag_mb: int = Field(
        default=256,
        ge=0,
        description="Rebuilds wait while a replica is further behind (MB of WAL).",
    )
    reindex_canary_limit_ms: float = Field(
        default=50.0,
        gt=0,
        description="A rebuild is stopped while a small query of the application's kind takes "
        "longer, or five times longer than before it, whichever is more.",
    )
    database_volume_gb: float | None = Field(
        default=None,
        gt=0,
        description="Size (units of 10^9 bytes) of the volume that holds the server's databases "
        "and WAL and nothing else. Unset, no date is foretold at which it is full, and indexes "
        "are rebuilt only where the server runs on this machine.",
    )

    backup_provider: Literal["barman", "rds"] | None = Field(
        default=None, description="Who takes the backups: barman-cloud, or Amazon RDS."
    )
    backup_bucket: str | None = Field(
        default=None,
        description="The versioned bucket of backups, WAL, restore points, dumps, certificates.",
    )
    backup_prefix: str = Field(
        default="barman",
        description="The folder in it that barman-cloud's commands are given, without slashes at "
        "its ends.",
    )
    backup_server: str = Field(
        default="familytales", description="The server's name in barman-cloud's commands."
    )
    backup_timeout_minutes: int = Field(
        default=360, ge=1, description="How long a full backup, a restore or a dump may take."
    )
    wal_spool: Path | None = Field(
        default=None,
        description="A folder that archive_command copies segments to, for wal_archive to ship. "
        "Unset where archive_command ships them itself.",
    )
    wal_arrival_seconds: int = Field(
        default=900, ge=1, description="How long a segment may take to arrive in the bucket."
    )
    wal_lag_seconds: int = Field(
        default=900,
        ge=1,
        description="How far the archived log may be behind the server. archive_timeout must be "
        "shorter, or quiet hours look like a lag.",
    )
    backup_keep_days: int = Field(
        default=7, ge=1, description="Days whose first verified full is kept."
    )
    backup_keep_weeks: int = Field(
        default=4, ge=1, description="ISO weeks whose first verified full is kept."
    )
    backup_keep_months: int = Field(
        default=12, ge=1, description="Months whose first verified full is kept."
    )
    backup_floor: int = Field(
        default=3, ge=1, description="Verified fulls below which retention deletes nothing."
    )
    backup_stale_hours: int = Field(
        default=48,
        ge=1,
        description="Retention deletes nothing while the newest verified full is older.",
    )
    backup_retention_apply: bool = Field(
        default=False, description="Whether retention deletes what its plan shows."
    )
    dump_storage_class: GlacierClass = Field(
        default="DEEP_ARCHIVE", description="Where the monthly dump goes once it is proven."
    )
    rds_instance: str | None = Field(default=None, description="The RDS instance's identifier.")
    dr_region: str | None = Field(
        default=None, description="The region that has the copies for disaster recovery."
    )
    dr_kms_key: str | None = Field(
        default=None,
        description="The KMS key there (ARN or alias) for copies of encrypted RDS snapshots.",
    )
    dr_bucket: str | None = Field(
        default=None, description="The bucket there that the backup bucket is replicated to."
    )
    dr_lag_hours: int = Field(
        default=26, ge=1, description="How old the newest copy for disaster recovery may be."
    )
    drill_folder: Path | None = Field(
        default=None,
        description="Where drills restore to; room for the database and its log is needed. The "
        "system's temporary folder when unset.",
    )
    pg_bin_dir: Path | None = Field(
        default=None,
        description="PostgreSQL's programs for drills and dumps, of the server's major version "
        "and with its extensions. The embedded ones when unset.",
    )

    storage_readers: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Sessions that count storage side by side, with 64 to 128 MB of memory each.",
    )
    storage_batch_rows: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Families or users whose storage_used_bytes one transaction sets.",
    )
    storage_lock_wait_ms: int = Field(
        default=100,
        ge=1,
        description="How long such a transaction waits for a table lock before it tries again.",
    )
    storage_warn_percent: int = Field(
        default=80,
        ge=1,
        le=100,
        description="Percent of its storage_limit_bytes above which a family is named in a check.",
    )
    storage_full_days: int = Field(
        default=8,
        ge=1,
        description="Days after which a full recomputation of storage is called overdue.",
    )
    media_inventory: str | None = Field(
        default=None,
        pattern=r"^s3://[^/]+/.*$",
        description="Where real sizes of recordings and photos come from: the folder of an S3 "
        "Inventory (s3://bucket/prefix/source-bucket/configuration/), or else a prefix of the "
        "media bucket to list. Unset: the estimates of 1,048,576 and 524,288 bytes.",
    )

    app_role: str = Field(
        default="ft_app",
        description="The application's role. Latency is measured as it, under its policies, "
        "where the operations role may become it.",
    )
    latency_samples: int = Field(
        default=100, ge=5, le=10_000, description="Executions of each product query in one run."
    )
    latency_budget_seconds: float = Field(
        default=60.0, gt=0, description="After so long no further execution is begun."
    )
    latency_timeout_ms: int = Field(
        default=2000, ge=1, description="The time-out of one execution; it counts as that long."
    )
    target_thread_ms: float = Field(
        default=50.0, ge=0, description="p95 of loading a thread with its content."
    )
    target_book_list_ms: float = Field(
        default=100.0, ge=0, description="p95 of listing a family's memory books."
    )
    target_search_ms: float = Field(default=200.0, ge=0, description="p95 of a search by tags.")
    target_dashboard_ms: float = Field(
        default=150.0,
        ge=0,
        description="p95 of a family's dashboard: its storage and its active members.",
    )
    disk_warning_days: int = Field(
        default=90, ge=1, description="Warn when the space may be used up within so many days."
    )
    growth_tolerance: float = Field(
        default=1.5,
        gt=1,
        description="Warn when a month grew by more than so many times what was projected.",
    )
    metric_keep_days: int = Field(
        default=400, ge=31, description="Days that samples in ops.metric_samples are kept."
    )
    pool_connections: int = Field(
        default=25, ge=1, description="The size of the application's connection pool."
    )
    idle_transaction_seconds: int = Field(
        default=60, ge=1, description="A session idle in its transaction for longer is stuck."
    )
    blocked_seconds: int = Field(
        default=30, ge=1, description="A session that waits for a lock for longer is stuck."
    )
    replication_lag_seconds: float = Field(
        default=60.0, gt=0, description="How far a replica may lag behind."
    )
    slot_gigabytes: float = Field(
        default=10.0,
        gt=0,
        description="Log that a replication slot may hold back, in units of 10^9 bytes.",
    )
    metrics_textfile: Path | None = Field(
        default=None,
        description="Where the figures go as a Prometheus textfile, for the node exporter; its "
        "name must end in .prom.",
    )
    metrics_pushgateway_url: SecretStr | None = Field(
        default=None, description="A Prometheus Pushgateway that the figures are pushed to."
    )
    alert_webhook_url: SecretStr | None = Field(
        default=None, description="Where alerts are posted, as JSON that Slack understands."
    )
    alert_email_to: Annotated[frozenset[str], BeforeValidator(_names)] = Field(
        default=frozenset(), description="Addresses, comma separated, that alerts are mailed to."
    )
    alert_email_from: str = Field(
        default="ft-ops@localhost", description="The sender of mailed alerts."
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="The mail server, as smtp://user:password@host:587 (STARTTLS when it is "
        "offered, and demanded with a password) or smtps://….",
    )
    alert_repeat_hours: float = Field(
        default=20.0,
        gt=0,
        description="The same failure is not told again within so many hours.",
    )
    heartbeat_url: SecretStr | None = Field(
        default=None,
        description="Called while everything scheduled is on time; who watches it raises the "
        "alarm when the calls stop.",
    )
    dagster_url: str | None = Field(
        default=None, description="Where the Dagster UI is, for the links in alerts."
    )
    runbook_url: str | None = Field(
        default=None, description="Where the folder docs/ can be read, for the links in alerts."
    )

    @model_validator(mode="after")
    def _prefixes_are_folders(self) -> Self:
        for name, prefix in (
            ("FT_ARCHIVE_PREFIX", self.archive_prefix),
            ("FT_BACKUP_PREFIX", self.backup_prefix),
        ):
            if prefix != prefix.strip("/"):
                raise ValueError(f"{name} must not begin or end with a slash")
        return self

    def require_database_url(self) -> str:
        """The operations' connection string, or an OpsError that says how to get one."""
        if self.database_url is None:
            raise OpsError(
                "FT_DATABASE_URL",
                cause="it is not set",
                next_step="set it to the application's database as the operations role, "
                "or try a sandbox: ft-ops sandbox",
            )
        return self.database_url.get_secret_value()

    def require_backup_bucket(self) -> str:
        """The bucket of the backups, or an OpsError that says how to name one."""
        if self.backup_bucket is None:
            raise OpsError(
                "FT_BACKUP_BUCKET",
                cause="it is not set",
                next_step="set it to a versioned bucket in the server's region",
            )
        return self.backup_bucket

    def require_archive_bucket(self) -> str:
        """The archive's bucket, or an OpsError that says how to name one."""
        if self.archive_bucket is None:
            raise OpsError(
                "FT_ARCHIVE_BUCKET",
                cause="it is not set",
                next_step="set it to a versioned bucket, best with Object Lock enabled",
            )
        return self.archive_bucket


def load_policy() -> Policy:
    """Read FT_* from the environment; every invalid setting is named in one OpsError."""
    try:
        return Policy()
    except ValidationError as error:
        # Inputs stay out of the message: one of them may be a connection string.
        problems = "; ".join(
            f"FT_{'_'.join(str(part) for part in problem['loc']).upper() or '*'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise OpsError(
            "settings", cause=problems, next_step="correct these variables and start again"
        ) from None
