"""The alerts: somebody is told when something fails. None is sent."""

from __future__ import annotations

from ft_ops.alerting import Teams, alert_channels
from ft_ops.doctor.findings import Finding, asked
from ft_ops.settings import Settings


def examine_alerts(settings: Settings) -> Finding:
    """Who is told, and whether somebody outside watches that the operations live at all."""
    return asked("alerts", lambda: _alerts(settings))


def _alerts(settings: Settings) -> Finding:
    channels = alert_channels(settings)
    for channel in channels:
        if isinstance(channel, Teams):
            channel.examine()
    if not channels:
        return Finding(
            "alerts",
            "limited",
            "nobody is told of a failure: it only shows in the Dagster UI",
            "set FT_ALERT_WEBHOOK_URL, FT_ALERT_TEAMS_URL, FT_ALERT_PAGERDUTY_KEY or "
            "FT_ALERT_OPSGENIE_KEY, or FT_ALERT_EMAIL_TO with FT_SMTP_URL",
        )
    told = " and ".join(channel.name for channel in channels)
    if all(channel.severity == "error" for channel in channels):
        return Finding(
            "alerts",
            "limited",
            f"errors by {told}, and warnings to nobody",
            "add a channel that takes warnings, or set FT_ALERT_…_SEVERITY of one to warning",
        )
    if settings.heartbeat_url is None:
        return Finding(
            "alerts",
            "limited",
            f"by {told}, but nobody outside notices when everything here stops",
            "set FT_HEARTBEAT_URL to a service that raises the alarm when its calls stop",
        )
    return Finding("alerts", "ok", f"by {told}, and a heartbeat")
