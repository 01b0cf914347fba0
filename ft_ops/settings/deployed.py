"""The policy: the knobs of all rooms in one object, validated when loaded."""

from __future__ import annotations

from pydantic import ValidationError

from ft_ops.errors import OpsError
from ft_ops.settings.alerting import AlertKnobs
from ft_ops.settings.archive import ArchiveKnobs
from ft_ops.settings.backups import BackupKnobs
from ft_ops.settings.constraints import accepted
from ft_ops.settings.deployment import DeploymentKnobs
from ft_ops.settings.health import HealthKnobs
from ft_ops.settings.maintenance import MaintenanceKnobs
from ft_ops.settings.partitions import PartitionKnobs
from ft_ops.settings.schema import SchemaKnobs
from ft_ops.settings.storage import StorageKnobs


class Policy(
    DeploymentKnobs,
    SchemaKnobs,
    PartitionKnobs,
    ArchiveKnobs,
    StorageKnobs,
    MaintenanceKnobs,
    BackupKnobs,
    HealthKnobs,
    AlertKnobs,
):
    """The validated settings of one deployment. Durations carry their unit in their name."""


def load_policy() -> Policy:
    """Read FT_* from the environment; every invalid setting is named in one OpsError."""
    try:
        return Policy()
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
    return f"FT_{name.upper()}: {wrong} (accepted: {accepted(Policy.model_fields[name])})"
