"""Ways by which alerts and heartbeats leave. Their addresses are secrets and are never quoted."""

from __future__ import annotations

import json
import smtplib
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Protocol
from urllib.parse import unquote, urlsplit

from ft_ops.alerting.messages import Alert, mail, slack_message
from ft_ops.errors import OpsError
from ft_ops.settings import Settings

_TIMEOUT_SECONDS = 10


class Channel(Protocol):
    """Something that alerts are sent by."""

    @property
    def name(self) -> str:
        """Which channel it is; alerts are told once on each."""

    def send(self, alert: Alert) -> None:
        """Send, or raise an OpsError when it was not accepted."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts JSON in the format of Slack's incoming webhooks."""

    url: str
    name: str = "webhook"

    def send(self, alert: Alert) -> None:
        body = json.dumps(slack_message(alert)).encode()
        _request(self.url, "FT_ALERT_WEBHOOK_URL", body)


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends plain text mail by a server that ``url`` names."""

    url: str
    sender: str
    recipients: frozenset[str]
    name: str = "mail"

    def send(self, alert: Alert) -> None:
        parts = urlsplit(self.url)
        try:
            with _mail_server(parts.scheme, parts.hostname or "", parts.port) as server:
                if parts.username and parts.password:
                    _require_encryption(server)
                    server.login(unquote(parts.username), unquote(parts.password))
                server.send_message(mail(alert, self.sender, self.recipients))
        except (OSError, smtplib.SMTPException) as error:
            raise OpsError(
                "mail server of FT_SMTP_URL",
                cause=f"{type(error).__name__} from {parts.hostname}",
                next_step="check FT_SMTP_URL, FT_ALERT_EMAIL_FROM and FT_ALERT_EMAIL_TO; the "
                "alert is tried again",
            ) from error


def alert_channels(settings: Settings) -> list[Channel]:
    """The channels that are configured, perhaps none."""
    found: list[Channel] = []
    if settings.alert_webhook_url is not None:
        found.append(Webhook(settings.alert_webhook_url.get_secret_value()))
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
            )
        )
    return found


def call_heartbeat(url: str) -> None:
    """Tell whoever watches that everything scheduled was on time, by a GET of ``url``."""
    _request(url, "FT_HEARTBEAT_URL")


def _request(url: str, setting: str, body: bytes | None = None) -> None:
    """GET ``url``, or POST ``body`` to it; an OpsError that names ``setting`` unless it is a 2xx.

    A redirect is an answer like any other: following it could hand the body to somebody else.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise OpsError(setting, cause="it is no http or https URL", next_step="correct it")
    asked = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(_NoRedirects).open(asked, timeout=_TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        error.close()
        cause = f"HTTP {error.code} {error.reason}"
    except OSError as error:
        cause = f"{type(error).__name__}: {getattr(error, 'reason', error)}"
    except HTTPException as error:
        cause = type(error).__name__
    # The library's own exception may quote the URL: it is neither told nor chained.
    raise OpsError(
        f"the address in {setting}",
        cause=cause,
        next_step=f"check {setting} and whether its host can be reached; it is tried again",
    )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _mail_server(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(
            host, port or 465, timeout=_TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    if scheme != "smtp":
        raise OpsError("FT_SMTP_URL", cause="it is no smtp or smtps URL", next_step="correct it")
    server = smtplib.SMTP(host, port or 587, timeout=_TIMEOUT_SECONDS)
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
