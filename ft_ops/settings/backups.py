"""Who takes the backups, how long they stay, and where they are restored to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ft_ops.errors import OpsError
from ft_ops.settings.base import (
    GlacierClass,
    RoomSettings,
    bucket,
    folder,
    matching,
    region,
    web_url_of,
)

_of_the_web = web_url_of("http", "https")


def _endpoint(url: str) -> str:
    """A URL without credentials, or a ValueError: the arguments of programs are shown to all."""
    _of_the_web(url)
    if "@" in url:
        raise ValueError("it holds a name or a password: give boto3 the credentials by its own way")
    return url


_instance = matching(
    r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*",
    "it is no identifier of an instance: neither its ARN nor its address",
)


class BackupSettings(RoomSettings):
    """The backups' part of the policy."""

    backup_provider: Literal["barman", "pgbackrest", "rds"] | None = Field(
        default=None,
        description="Who takes the backups: barman-cloud, pgBackRest, or Amazon RDS.",
    )
    backup_bucket: Annotated[str, AfterValidator(bucket)] | None = Field(
        default=None,
        description="The versioned bucket of backups, WAL, restore points, dumps, certificates.",
    )
    backup_endpoint_url: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None,
        examples=["https://s3.example.org:8333"],
        description="The S3 endpoint of that bucket, where the archive's is another: backups on an "
        "S3 server of your own, say. It is asked with the same credentials. pgBackRest has it in "
        "its own configuration.",
    )
    backup_prefix: Annotated[str, AfterValidator(folder)] = Field(
        default="barman",
        examples=["barman"],
        description="The folder in it that barman-cloud's commands are given, without slashes at "
        "its ends.",
    )
    backup_server: str = Field(
        default="familytales", description="The server's name in barman-cloud's commands."
    )
    pgbackrest_stanza: str = Field(
        default="main", description="The stanza of this server in pgBackRest's configuration."
    )
    pgbackrest_config: Path | None = Field(
        default=None,
        description="pgBackRest's configuration file; its own default when unset. It says where "
        "the repository and the server are.",
    )
    pgbackrest_repository: int = Field(
        default=1,
        ge=1,
        le=256,
        description="The number of the repository there: the N of repoN-path.",
    )
    rto_minutes: float | None = Field(
        default=None,
        gt=0,
        le=525_600,
        description="Within so many minutes a destroyed database must be back (recovery time "
        "objective); drills measure it. Unset: there is no target.",
    )
    rpo_minutes: float | None = Field(
        default=None,
        gt=0,
        le=525_600,
        description="At most so many of the last minutes may be lost with a destroyed database "
        "(recovery point objective); drills measure it. Unset: there is no target.",
    )
    backup_timeout_minutes: int = Field(
        default=360,
        ge=1,
        le=10_080,
        description="How long a full backup, a restore or a dump may take.",
    )
    backup_share_beside_others: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="How much of the time a restore point reads the tables while other sessions "
        "than the operations' are at work in the database; the rest of the time it rests. 1 never "
        "rests.",
    )
    backup_longest_rest_seconds: float = Field(
        default=900.0,
        ge=0,
        le=604_800,
        description="Rests of one restore point, added up; what is left is read at full speed.",
    )
    wal_spool: Path | None = Field(
        default=None,
        description="A folder that archive_command copies segments to, for wal_archive to ship. "
        "Unset where archive_command ships them itself.",
    )
    wal_arrival_seconds: int = Field(
        default=900,
        ge=1,
        le=604_800,
        description="How long a segment may take to arrive in the bucket.",
    )
    wal_lag_seconds: int = Field(
        default=900,
        ge=1,
        le=604_800,
        description="How far the archived log may be behind the server. archive_timeout must be "
        "shorter, or quiet hours look like a lag.",
    )
    backup_keep_days: int = Field(
        default=7, ge=1, le=36_500, description="Days whose first verified full is kept."
    )
    backup_keep_weeks: int = Field(
        default=4, ge=1, le=5_200, description="ISO weeks whose first verified full is kept."
    )
    backup_keep_months: int = Field(
        default=12, ge=1, le=1_200, description="Months whose first verified full is kept."
    )
    backup_floor: int = Field(
        default=3,
        ge=1,
        le=1_000,
        description="Verified fulls below which retention deletes nothing.",
    )
    backup_stale_hours: int = Field(
        default=48,
        ge=1,
        le=8_760,
        description="Retention deletes nothing while the newest verified full is older.",
    )
    backup_retention_apply: bool = Field(
        default=False, description="Whether retention deletes what its plan shows."
    )
    dump_storage_class: GlacierClass = Field(
        default="DEEP_ARCHIVE", description="Where the monthly dump goes once it is proven."
    )
    rds_instance: Annotated[str, AfterValidator(_instance)] | None = Field(
        default=None, examples=["familytales"], description="The RDS instance's identifier."
    )
    dr_region: Annotated[str, AfterValidator(region)] | None = Field(
        default=None,
        examples=["eu-west-1"],
        description="The region that has the copies for disaster recovery.",
    )
    dr_kms_key: str | None = Field(
        default=None,
        description="The KMS key there (ARN or alias) for copies of encrypted RDS snapshots.",
    )
    dr_bucket: Annotated[str, AfterValidator(bucket)] | None = Field(
        default=None, description="The bucket there that the backup bucket is replicated to."
    )
    dr_lag_hours: int = Field(
        default=26,
        ge=1,
        le=8_760,
        description="How old the newest copy for disaster recovery may be.",
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

    upgrade_bin_dir: Path | None = Field(
        default=None,
        description="The programs of the next major version, with its extensions, for rehearsals "
        "of an upgrade. The embedded ones of version 18 when unset.",
    )

    staging_bucket: Annotated[str, AfterValidator(bucket)] | None = Field(
        default=None,
        description="The bucket that developers take masked dumps from: none of our own.",
    )
    staging_salt_file: Path | None = Field(
        default=None,
        description="A file of 32 random bytes or more. With it a value becomes the same in every "
        "masked dump; it never leaves. Unset: a salt is made for each dump, and forgotten.",
    )

    def require_backup_bucket(self) -> str:
        """The bucket of the backups, or an OpsError that says how to name one."""
        if self.backup_bucket is None:
            raise OpsError(
                "FT_BACKUP_BUCKET",
                cause="it is not set",
                next_step="set it to a versioned bucket in the server's region",
            )
        return self.backup_bucket
