"""The databases, and the identities that runs take on."""

from __future__ import annotations

from pydantic import Field, SecretStr

from ft_ops.errors import OpsError
from ft_ops.policy.knobs import Knobs


class DeploymentKnobs(Knobs):
    """The deployment's part of the policy."""

    database_url: SecretStr | None = Field(
        default=None, description="The application's database, as the operations role."
    )
    dagster_database_url: SecretStr | None = Field(
        default=None, description="Dagster's own storage, as postgresql+psycopg2://…"
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
