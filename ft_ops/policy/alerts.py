"""Who is told, how, and with which links."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from ft_ops.policy.knobs import Knobs, names


class AlertKnobs(Knobs):
    """The alerts' part of the policy."""

    alert_webhook_url: SecretStr | None = Field(
        default=None, description="Where alerts are posted, as JSON that Slack understands."
    )
    alert_email_to: Annotated[frozenset[str], BeforeValidator(names)] = Field(
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
