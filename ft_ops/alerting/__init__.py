"""Alerts: who is told of what, once, on each channel."""

from ft_ops.alerting.channels import Mail, Webhook, alert_channels, call_heartbeat, send_mail
from ft_ops.alerting.deadline import within
from ft_ops.alerting.messages import Alert, addressed, known_secrets, masked_text, sendable
from ft_ops.alerting.sent_log import News, Told, tell
from ft_ops.alerting.services import Opsgenie, PagerDuty, Teams

__all__ = [
    "Alert",
    "Mail",
    "News",
    "Opsgenie",
    "PagerDuty",
    "Teams",
    "Told",
    "Webhook",
    "addressed",
    "alert_channels",
    "call_heartbeat",
    "known_secrets",
    "masked_text",
    "send_mail",
    "sendable",
    "tell",
    "within",
]
