"""Ways by which alerts and heartbeats leave. Their addresses are secrets and are never quoted."""

from __future__ import annotations

import json
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from ft_ops.alerting.deadline import within
from ft_ops.alerting.http import TIMEOUT_SECONDS, request
from ft_ops.alerting.messages import Alert, mail, slack_message
from ft_ops.alerting.services import Opsgenie, PagerDuty, Teams
from ft_ops.errors import OpsError
from ft_ops.settings import Settings, Severity

_HEARTBEAT_SECONDS: Final = 10.0
"""A host that drips would else keep a thread of the code server with every tick."""


class Channel(Protocol):
    """Something that alerts are sent by."""

    @property
    def name(self) -> str:
        """Which channel it is; alerts are told once on each."""

    @property
    def severity(self) -> Severity:
        """The least that is told there."""

    def send(self, alert: Alert) -> None:
        """Send, or raise an OpsError when it was not accepted."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts JSON in the format of Slack's incoming webhooks."""

    url: str
    severity: Severity = "warning"
    name: str = "webhook"

    def send(self, alert: Alert) -> None:
        body = json.dumps(slack_message(alert)).encode()
        request(self.url, "FT_ALERT_WEBHOOK_URL", body)


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends plain text mail by a server that ``url`` names."""

    url: str
    sender: str
    recipients: frozenset[str]
    severity: Severity = "warning"
    name: str = "mail"

    def send(self, alert: Alert) -> None:
        send_mail(self.url, mail(alert, self.sender, self.recipients))


def send_mail(url: str, message: EmailMessage) -> tuple[str, ...]:
    """Send by the server of ``url``: the addresses that it refused, perhaps none.

    An OpsError when it took the message for nobody.
    """
    parts = urlsplit(url)
    try:
        with _mail_server(parts.scheme, parts.hostname or "", parts.port) as server:
            if parts.username and parts.password:
                _require_encryption(server)
                server.login(unquote(parts.username), unquote(parts.password))
            return tuple(server.send_message(message))
    except (OSError, smtplib.SMTPException) as error:
        raise OpsError(
            "mail server of FT_SMTP_URL",
            cause=f"{type(error).__name__} from {parts.hostname}",
            next_step="check FT_SMTP_URL, FT_ALERT_EMAIL_FROM and the addresses that it is sent "
            "to; it is tried again",
        ) from error


def takes(channel: Channel, alert: Alert) -> bool:
    """Whether an alert is severe enough for a channel. A recovery goes where its failure went."""
    return alert.level != "warning" or channel.severity == "warning"


def alert_channels(settings: Settings) -> list[Channel]:
    """The channels that are configured, perhaps none."""
    found: list[Channel] = []
    if settings.alert_webhook_url is not None:
        found.append(
            Webhook(settings.alert_webhook_url.get_secret_value(), settings.alert_webhook_severity)
        )
    if settings.alert_email_to:
        if settings.smtp_url is None:
            raise OpsError(
                "FT_ALERT_EMAIL_TO",
                cause="FT_SMTP_URL is not set",
                next_step="set it, or unset FT_ALERT_EMAIL_TO",
            )
        found.append(
            Mail(
                settings.smtp_url.get_secret_value(),
                settings.alert_email_from,
                settings.alert_email_to,
                settings.alert_email_severity,
            )
        )
    return [*found, *_services(settings)]


def _services(settings: Settings) -> list[Channel]:
    found: list[Channel] = []
    deployment = settings.dagster_url or ""
    if settings.alert_pagerduty_key is not None:
        found.append(
            PagerDuty(
                settings.alert_pagerduty_key.get_secret_value(),
                settings.alert_pagerduty_region,
                deployment,
                settings.alert_pagerduty_severity,
            )
        )
    if settings.alert_teams_url is not None:
        found.append(
            Teams(settings.alert_teams_url.get_secret_value(), settings.alert_teams_severity)
        )
    if settings.alert_opsgenie_key is not None:
        found.append(
            Opsgenie(
                settings.alert_opsgenie_key.get_secret_value(),
                settings.alert_opsgenie_region,
                deployment,
                settings.alert_opsgenie_severity,
            )
        )
    return found


def call_heartbeat(url: str) -> None:
    """Tell whoever watches that everything scheduled was on time, by a GET of ``url``."""
    within(_HEARTBEAT_SECONDS, "heartbeat", lambda: request(url, "FT_HEARTBEAT_URL"))


def _mail_server(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(
            host, port or 465, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    if scheme != "smtp":
        raise OpsError("FT_SMTP_URL", cause="it is no smtp or smtps URL", next_step="correct it")
    server = smtplib.SMTP(host, port or 587, timeout=TIMEOUT_SECONDS)
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=ssl.create_default_context())
    return server


def _require_encryption(server: smtplib.SMTP) -> None:
    if not isinstance(server.sock, ssl.SSLSocket):
        raise OpsError(
            "mail server of FT_SMTP_URL",
            cause="it offers no encryption, and the password would be readable on its way",
            next_step="use smtps://, or a server that offers STARTTLS",
        )
