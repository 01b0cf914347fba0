"""The alerts: somebody is told when something fails. None is sent."""

from __future__ import annotations

from ft_ops.alerting import alert_channels
from ft_ops.doctor.findings import Finding, asked
from ft_ops.settings import Policy


def examine_alerts(policy: Policy) -> Finding:
    """Who is told, and whether somebody outside watches that the operations live at all."""
    return asked("alerts", lambda: _alerts(policy))


def _alerts(policy: Policy) -> Finding:
    channels = [channel.name for channel in alert_channels(policy)]
    if not channels:
        return Finding(
            "alerts",
            "limited",
            "nobody is told of a failure: it only shows in the Dagster UI",
            "set FT_ALERT_WEBHOOK_URL, or FT_ALERT_EMAIL_TO with FT_SMTP_URL",
        )
    told = " and ".join(channels)
    if policy.heartbeat_url is None:
        return Finding(
            "alerts",
            "limited",
            f"by {told}, but nobody outside notices when everything here stops",
            "set FT_HEARTBEAT_URL to a service that raises the alarm when its calls stop",
        )
    return Finding("alerts", "ok", f"by {told}, and a heartbeat")
