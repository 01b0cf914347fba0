"""The settings of all rooms in one object, validated when loaded."""

from __future__ import annotations

from pydantic import ValidationError

from ft_ops.errors import OpsError
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


def load_settings() -> Settings:
    """Read FT_* from the environment; every invalid setting is named in one OpsError."""
    try:
        return Settings()
    except ValidationError as error:
        # Inputs stay out of the message: one of them may be a connection string.
        problems = "; ".join(
            _told(str(problem["loc"][0]), problem["msg"])
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise OpsError(
            "settings", cause=problems, next_step="correct these variables and start again"
        ) from None


def _told(name: str, problem: str) -> str:
    """A setting's variable, what is wrong with its value, and what is accepted."""
    wrong = problem.removeprefix("Value error, ")
    return f"FT_{name.upper()}: {wrong} (accepted: {accepted(Settings.model_fields[name])})"
