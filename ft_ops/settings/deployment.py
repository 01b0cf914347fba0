"""The databases, and the identities that runs take on."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from ft_ops.errors import OpsError
from ft_ops.pg.connect import unreadable
from ft_ops.settings.base import RoomSettings, kept_secret, matching, names, url_of

_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]+")
"""Browsers send a name with other letters in the form that begins with xn--."""

_role_prefix = matching(
    r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]*", "it does not begin as a role's ARN does"
)
_account_prefix = matching(r"[a-z0-9][a-z0-9-]*", "no service account's name begins so")


def _readable(url: str) -> str:
    problem = unreadable(url)
    if problem:
        raise ValueError(problem)
    return url


def _host_names(value: object) -> object:
    """Names in lower case from comma separated text; one with more than a name is refused."""
    found = names(value)
    if not isinstance(found, frozenset):
        return found
    for name in found:
        if not _HOST.fullmatch(name):
            raise ValueError(f"{name} is no host's name")
        if ":" in name.strip("[]") and name.count(":") == 1:
            raise ValueError(f"{name} names a port, which is left out here")
    return frozenset(name.strip("[]").lower().rstrip(".") for name in found)


_of_postgresql = url_of("postgresql", "postgresql+psycopg2")


def _of_dagster(url: str) -> str:
    """What SQLAlchemy can't read either, it tells page by page, with parts of the password."""
    _readable(_of_postgresql(url).replace("postgresql+psycopg2://", "postgresql://", 1))
    return url


_dagsters = kept_secret(_of_dagster)


class DeploymentSettings(RoomSettings):
    """The deployment's settings."""

    database_url: Annotated[SecretStr, AfterValidator(kept_secret(_readable))] | None = Field(
        default=None,
        examples=["postgresql://ft_ops:password@host:5432/familytales"],
        description="The application's database, as the operations role. A server on another "
        "machine is spoken to by TLS alone, unless the URL says sslmode=disable.",
    )
    dagster_database_url: Annotated[SecretStr, AfterValidator(_dagsters)] | None = Field(
        default=None,
        examples=["postgresql+psycopg2://ft_dagster:password@host:5432/dagster"],
        description="Dagster's own storage, in the form that SQLAlchemy reads.",
    )
    event_log_keep_days: int = Field(
        default=90,
        ge=7,
        le=36_500,
        description="Days that events of runs are kept in Dagster's own storage. The newest ones "
        "of each asset, partition and check stay.",
    )
    ecs_task_role_prefix: Annotated[str, AfterValidator(_role_prefix)] | None = Field(
        default=None,
        examples=["arn:aws:iam::111122223333:role/familytales-"],
        description="On Amazon ECS: what the ARNs of the jobs' roles begin with. A run gets the "
        "role of this prefix and its job's name.",
    )
    web_hosts: Annotated[frozenset[str], BeforeValidator(_host_names)] = Field(
        default=frozenset({"127.0.0.1", "::1", "localhost"}),
        examples=["dagster.example.org,localhost"],
        description="The names by which browsers reach the Dagster UI, comma separated, without "
        "ports. A request for another name is refused, as is one that another page sends.",
    )
    k8s_service_account_prefix: Annotated[str, AfterValidator(_account_prefix)] | None = Field(
        default=None,
        examples=["ft-ops-"],
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
