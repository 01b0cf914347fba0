"""PagerDuty, Teams and Opsgenie, by apprise. Their keys and addresses are secrets.

Of a refusal apprise tells its caller no more than that it was one; what the service said stands in
its log, and with it, where details are asked for, keys and addresses. That log is listened to here,
and goes nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ft_ops.alerting.http import not_taken, request
from ft_ops.alerting.messages import Alert, Level, plain_text
from ft_ops.errors import OpsError
from ft_ops.settings import Region, Severity

if TYPE_CHECKING:  # it takes a third of a second
    from apprise.plugins.base import NotifyBase

_CONNECT_SECONDS: Final = 4
_ANSWER_SECONDS: Final = 5
_KIND: Final[dict[Level, str]] = {"error": "failure", "warning": "warning", "recovered": "success"}
_SIGN: Final[dict[Level, str]] = {"error": "🔴", "warning": "🟡", "recovered": "🟢"}
_PRIORITY: Final[dict[Level, str]] = {"error": "p2", "warning": "p4", "recovered": "p5"}
_OPSGENIE: Final[dict[Region, str]] = {
    "us": "https://api.opsgenie.com/v2/alerts",
    "eu": "https://api.eu.opsgenie.com/v2/alerts",
}
_STATUS: Final = re.compile(r"\berror=(\d{3})\b")
_LOGS: Final = ("apprise", "urllib3.connectionpool")


def incident_key(alert: Alert, deployment: str) -> str:
    """Under which a service knows what an alert is about: equal for a failure and its recovery.

    Another deployment that uses the same key of the service has others.
    """
    return hashlib.sha256(f"{deployment}\n{alert.incident or alert.identity}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """Opens an incident by PagerDuty's events API, version 2, and resolves it on recovery."""

    key: str
    region: Region = "us"
    deployment: str = ""
    severity: Severity = "error"
    name: str = "pagerduty"

    def send(self, alert: Alert) -> None:
        from apprise.plugins.pagerduty import NotifyPagerDuty

        details = {
            "detail": plain_text(alert.detail),
            "run": alert.link or "",
            "what to do": alert.runbook or "",
        }
        _send_by_apprise(
            "FT_ALERT_PAGERDUTY_KEY",
            NotifyPagerDuty,
            {
                "integrationkey": self.key,
                # The events API knows integrations' keys only; apprise asks for an account's too.
                "apikey": "none",
                "region_name": self.region,
                "source": self.deployment or "FamilyTales operations",
                "component": "ft-ops",
                "severity": "warning" if alert.level == "warning" else "error",
                "action": "resolve" if alert.level == "recovered" else "trigger",
                "dedup": incident_key(alert, self.deployment),
                "click": _web(alert.link),
                "details": {name: text for name, text in details.items() if text},
                "include_image": False,
            },
            alert.level,
            title="",
            body=alert.title,
        )


@dataclass(frozen=True, slots=True)
class Teams:
    """Posts a card to the address of a Teams workflow."""

    url: str
    severity: Severity = "warning"
    name: str = "teams"

    def examine(self) -> None:
        """An OpsError when the address is none of a workflow."""
        _workflow(self.url)

    def send(self, alert: Alert) -> None:
        from apprise.plugins.workflows import NotifyWorkflows

        links = [
            f"[{name}]({url})" if _web(url) else f"{name}: {url}"
            for name, url in (("run", alert.link), ("what to do", alert.runbook))
            if url
        ]
        _send_by_apprise(
            "FT_ALERT_TEAMS_URL",
            NotifyWorkflows,
            {**_workflow(self.url), "include_image": False},
            alert.level,
            title=_without_markup(f"{_SIGN[alert.level]} {alert.title}"),
            body="\n\n".join([_without_markup(plain_text(alert.detail, 800)), *links]),
        )


@dataclass(frozen=True, slots=True)
class Opsgenie:
    """Opens an alert, and closes it on recovery."""

    key: str
    region: Region = "us"
    deployment: str = ""
    severity: Severity = "error"
    name: str = "opsgenie"

    def send(self, alert: Alert) -> None:
        from apprise.plugins.opsgenie import NotifyOpsgenie

        lines = [plain_text(alert.detail)]
        lines += [f"Run: {alert.link}"] if alert.link else []
        lines += [f"What to do: {alert.runbook}"] if alert.runbook else []
        alias = incident_key(alert, self.deployment)
        if alert.level == "recovered":
            # apprise closes what it remembers to have opened; it remembers nothing here.
            request(
                f"{_OPSGENIE[self.region]}/{alias}/close?identifierType=alias",
                "FT_ALERT_OPSGENIE_KEY",
                json.dumps({"source": "FamilyTales operations", "note": "\n".join(lines)}).encode(),
                {"Authorization": f"GenieKey {self.key}"},
            )
            return
        _send_by_apprise(
            "FT_ALERT_OPSGENIE_KEY",
            NotifyOpsgenie,
            {
                "apikey": self.key,
                "targets": [],
                "region_name": self.region,
                # Its own names of priorities stand upside down; the service's numbers don't.
                "priority": _PRIORITY[alert.level],
                "alias": alias,
                "entity": self.deployment or None,
                "action": "new",
            },
            alert.level,
            title=alert.title,
            body="\n".join(lines),
        )


def _workflow(url: str) -> dict[str, Any]:
    from apprise.plugins.workflows import NotifyWorkflows

    # The library leaves this one without types.
    read: Callable[[str], dict[str, Any] | None] = NotifyWorkflows.parse_native_url
    with _overheard():
        found = read(url)
    if not found or urlsplit(url).scheme != "https":
        raise OpsError(
            "FT_ALERT_TEAMS_URL",
            cause="it is no address of a Teams workflow",
            next_step="copy the whole HTTP POST URL of the workflow “Post to a channel when a "
            "webhook request is received”, with its signature (sig=…)",
        )
    # A question in the address may name apprise's own options, such as a file to read.
    names = ("host", "port", "workflow", "signature", "power_automate", "routing_id", "version")
    return {name: found.get(name) for name in names}


def _send_by_apprise(
    setting: str,
    kind: type[NotifyBase],
    service: dict[str, Any],
    level: Level,
    *,
    title: str,
    body: str,
) -> None:
    """Send; an OpsError that names ``setting`` when it was not taken."""
    from apprise import AppriseAsset

    limits = {
        "cto": _CONNECT_SECONDS,
        "rto": _ANSWER_SECONDS,
        "redirect": False,
        "verify": True,
        "overflow": "truncate",
    }
    asset = AppriseAsset(
        app_id="FamilyTales operations",
        app_desc="FamilyTales operations",
        async_mode=False,
        http_redirects=False,
        storage_mode="memory",
    )
    with _overheard() as heard:
        try:
            plugin = kind(**service, **limits, asset=asset)
            accepted = plugin.notify(body=body, title=title, notify_type=_KIND[level])
        except Exception as error:  # noqa: BLE001  a defect of a service must not silence another
            accepted = False
            heard.append(type(error).__name__)
    if accepted:
        return
    # What was raised and what was logged may quote the address: neither is chained.
    cause = heard[-1] if heard else "it was not taken, and no reason is known"
    raise not_taken(f"the service of {setting}", setting, cause) from None


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What this thread's logging of apprise says of failures, in words that hold no secret."""
    ear = _Ear(threading.get_ident())
    logs = [logging.getLogger(name) for name in _LOGS]
    for log in logs:
        log.addFilter(ear)
    try:
        yield ear.heard
    finally:
        for log in logs:
            log.removeFilter(ear)


class _Ear(logging.Filter):
    """Takes the records of one thread out of the log; keeps each failure's status or kind."""

    def __init__(self, thread: int) -> None:
        super().__init__()
        self.thread = thread
        self.heard: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        if record.levelno >= logging.WARNING:
            status = _STATUS.search(record.getMessage())
            failure = sys.exc_info()[1]
            if status is not None:
                self.heard.append(f"HTTP {status[1]}")
            elif failure is not None:
                self.heard.append(_kind_of(failure))
        return False


def _kind_of(error: BaseException) -> str:
    """The kinds of failure that lie in one another, the innermost last: no text of any."""
    kinds = [type(error).__name__]
    inner: object = error
    for _ in range(5):
        inner = next(
            (
                found
                for found in (getattr(inner, "reason", None), *getattr(inner, "args", ()))
                if isinstance(found, BaseException) and found is not inner
            ),
            None,
        )
        if inner is None:
            break
        kinds.append(type(inner).__name__)
    return ": ".join(dict.fromkeys(kinds))


def _web(url: str | None) -> str | None:
    return url if url and url.startswith(("http://", "https://")) else None


def _without_markup(text: str) -> str:
    """A text of which a card makes neither links nor mentions."""
    return text.replace("](", "] (").replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")
