"""Who is told, how, and with which links."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from ft_ops.settings.base import (
    Region,
    RoomSettings,
    Severity,
    address,
    addresses,
    kept_secret,
    key_without_space,
    names,
    web_url_of,
)

_web = web_url_of("http", "https")
_web_secret = kept_secret(_web)
_Key = Annotated[SecretStr, AfterValidator(key_without_space)]


class AlertSettings(RoomSettings):
    """The alerts' part of the policy."""

    alert_webhook_url: Annotated[SecretStr, AfterValidator(_web_secret)] | None = Field(
        default=None,
        examples=["https://hooks.example.org/operations"],
        description="Where alerts are posted, as JSON that Slack understands.",
    )
    alert_webhook_severity: Severity = Field(
        default="warning", description="The least that is posted there: warnings, or errors alone."
    )
    alert_email_to: Annotated[frozenset[str], BeforeValidator(names), AfterValidator(addresses)] = (
        Field(
            default=frozenset(),
            examples=["ada@example.org,grace@example.org"],
            description="Addresses, comma separated, that alerts are mailed to.",
        )
    )
    alert_email_from: Annotated[str, AfterValidator(address)] = Field(
        default="ft-ops@localhost",
        examples=["ft-ops@example.org"],
        description="The sender of mailed alerts.",
    )
    alert_email_severity: Severity = Field(
        default="warning", description="The least that is mailed: warnings, or errors alone."
    )
    alert_pagerduty_key: _Key | None = Field(
        default=None,
        examples=["R01ABCDEFGHIJKLMNOPQRSTUVWXYZ012"],
        description="The integration key of a PagerDuty service (events API v2). A failure opens "
        "an incident there, and its recovery resolves it.",
    )
    alert_pagerduty_region: Region = Field(
        default="us", description="Where PagerDuty keeps the account."
    )
    alert_pagerduty_severity: Severity = Field(
        default="error", description="The least that opens an incident: warnings, or errors alone."
    )
    alert_teams_url: (
        Annotated[SecretStr, AfterValidator(kept_secret(web_url_of("https")))] | None
    ) = Field(
        default=None,
        examples=["https://prod-07.westus.logic.azure.com/workflows/0a1b/triggers/manual/…"],
        description="The HTTP POST URL of a Teams workflow that posts to a channel when a "
        "webhook request is received, with its signature.",
    )
    alert_teams_severity: Severity = Field(
        default="warning", description="The least that is posted there: warnings, or errors alone."
    )
    alert_opsgenie_key: _Key | None = Field(
        default=None,
        examples=["01234567-89ab-cdef-0123-456789abcdef"],
        description="The key of an Opsgenie API integration. A failure opens an alert there, and "
        "its recovery closes it.",
    )
    alert_opsgenie_region: Region = Field(
        default="us", description="Where Opsgenie keeps the account."
    )
    alert_opsgenie_severity: Severity = Field(
        default="error", description="The least that opens an alert: warnings, or errors alone."
    )
    smtp_url: (
        Annotated[SecretStr, AfterValidator(kept_secret(web_url_of("smtp", "smtps")))] | None
    ) = Field(
        default=None,
        examples=["smtps://user:password@mail.example.org:465"],
        description="The mail server. With smtp://, STARTTLS is used when it is offered, and "
        "demanded with a password.",
    )
    alert_repeat_hours: float = Field(
        default=20.0,
        gt=0,
        le=8_760,
        description="The same failure is not told again within so many hours.",
    )
    heartbeat_url: Annotated[SecretStr, AfterValidator(_web_secret)] | None = Field(
        default=None,
        examples=["https://watch.example.org/ping/operations"],
        description="Called while everything scheduled is on time; who watches it raises the "
        "alarm when the calls stop.",
    )
    dagster_url: Annotated[str, AfterValidator(_web)] | None = Field(
        default=None,
        examples=["https://dagster.example.org"],
        description="Where the Dagster UI is, for the links in alerts.",
    )
    runbook_url: Annotated[str, AfterValidator(_web)] | None = Field(
        default=None,
        examples=["https://git.example.org/ft-ops/docs"],
        description="Where the folder docs/ can be read, for the links in alerts.",
    )
