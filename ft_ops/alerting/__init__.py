"""Alerts: who is told of what, once, on each channel."""

from ft_ops.alerting.channels import Channel, Mail, Webhook, alert_channels, call_heartbeat
from ft_ops.alerting.messages import Alert, Level, known_secrets
from ft_ops.alerting.sent_log import News, Refusal, Told, refusals, tell

__all__ = [
    "Alert",
    "Channel",
    "Level",
    "Mail",
    "News",
    "Refusal",
    "Told",
    "Webhook",
    "alert_channels",
    "call_heartbeat",
    "known_secrets",
    "refusals",
    "tell",
]
