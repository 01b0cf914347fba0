"""The settings of all rooms in one object, validated when loaded."""

from __future__ import annotations

from os.path import abspath
from typing import Self

from pydantic import ValidationError, model_validator

from ft_ops.errors import OpsError
from ft_ops.pg.connect import same_database
from ft_ops.settings.alerting import AlertSettings
from ft_ops.settings.archive import ArchiveSettings
from ft_ops.settings.backups import BackupSettings
from ft_ops.settings.constraints import accepted
from ft_ops.settings.deployment import DeploymentSettings
from ft_ops.settings.health import HealthSettings
from ft_ops.settings.maintenance import MaintenanceSettings
from ft_ops.settings.partitions import PartitionSettings
from ft_ops.settings.schema import SchemaSettings
from ft_ops.settings.storage import StorageSettings


class Settings(
    DeploymentSettings,
    SchemaSettings,
    PartitionSettings,
    ArchiveSettings,
    StorageSettings,
    MaintenanceSettings,
    BackupSettings,
    HealthSettings,
    AlertSettings,
):
    """The validated settings of one deployment. Durations carry their unit in their name."""

    @model_validator(mode="after")
    def _that_must_differ(self) -> Self:
        """What is one where there have to be two, in a ValueError that quotes no URL."""
        problems = [
            f"FT_{name.upper()}: it {why}"
            for name, is_one, why in (
                (
                    "dagster_database_url",
                    self._is_dagsters_database(),
                    "names the database of FT_DATABASE_URL, and Dagster needs one of its own",
                ),
                (
                    "evidence_prefix",
                    self.evidence_prefix == self.archive_prefix,
                    "is the folder of FT_ARCHIVE_PREFIX, and the chain needs one of its own",
                ),
                (
                    "overview_prefix",
                    self.overview_prefix is not None
                    and any(
                        _one_in_the_other(self.overview_prefix, other)
                        for other in (self.archive_prefix, self.evidence_prefix)
                    ),
                    (
                        "is the folder of FT_ARCHIVE_PREFIX or of FT_EVIDENCE_PREFIX, or one "
                        "holds the other, and the pages need one of their own"
                    ),
                ),
                (
                    "backup_bucket",
                    _same(self.archive_bucket, self.backup_bucket),
                    (
                        "is the bucket of FT_ARCHIVE_BUCKET, whose older versions are never "
                        "removed by a rule, and a backup bucket's are"
                    ),
                ),
                (
                    "dr_bucket",
                    _same(self.dr_bucket, self.backup_bucket),
                    "is the bucket of FT_BACKUP_BUCKET, and no copy of it elsewhere",
                ),
                (
                    "dr_bucket",
                    _same(self.dr_bucket, self.archive_bucket),
                    "is the bucket of FT_ARCHIVE_BUCKET, which takes no copies of backups",
                ),
                *(
                    (
                        "archive_replica_bucket",
                        _same(self.archive_replica_bucket, other),
                        (
                            f"is the bucket of {name}, and the archive's second copy needs one of "
                            "its own"
                        ),
                    )
                    for name, other in (
                        ("FT_ARCHIVE_BUCKET", self.archive_bucket),
                        ("FT_BACKUP_BUCKET", self.backup_bucket),
                        ("FT_DR_BUCKET", self.dr_bucket),
                    )
                ),
                (
                    "drill_folder",
                    self.drill_folder is not None
                    and self.wal_spool is not None
                    and _one_in_the_other(*map(abspath, (self.drill_folder, self.wal_spool))),
                    (
                        "is the folder of FT_WAL_SPOOL, or one holds the other, and what a drill "
                        "leaves would be shipped as log"
                    ),
                ),
            )
            if is_one
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _is_dagsters_database(self) -> bool:
        if self.database_url is None or self.dagster_database_url is None:
            return False
        dagsters = self.dagster_database_url.get_secret_value().replace("+psycopg2", "", 1)
        return same_database(self.database_url.get_secret_value(), dagsters)


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


def _one_in_the_other(one: str, other: str) -> bool:
    """Whether two folders, written without slashes at their ends, share what is below one."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def load_settings() -> Settings:
    """Read FT_* from the environment; every invalid setting is named in one OpsError."""
    try:
        return Settings()
    except ValidationError as error:
        # Inputs stay out of the message: one of them may be a connection string.
        problems = "; ".join(
            _told(str(problem["loc"][0]), problem["msg"])
            if problem["loc"]
            else _wrong(problem["msg"])
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise OpsError(
            "settings", cause=problems, next_step="correct these variables and start again"
        ) from None


def _wrong(problem: str) -> str:
    return problem.removeprefix("Value error, ")


def _told(name: str, problem: str) -> str:
    """A setting's variable, what is wrong with its value, and what is accepted."""
    return (
        f"FT_{name.upper()}: {_wrong(problem)} (accepted: {accepted(Settings.model_fields[name])})"
    )
