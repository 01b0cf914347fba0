"""Health: latency, capacity, connections, alerts, and one page that shows the state of it all."""

from ft_ops.health.alert import Alert, Level, known_secrets
from ft_ops.health.capacity import (
    Growth,
    Outlook,
    Sizes,
    beyond_projection,
    measure_sizes,
    outlook,
)
from ft_ops.health.connections import Connections, look_at_connections
from ft_ops.health.delivery import Channel, Mail, Webhook, alert_channels, call_heartbeat
from ft_ops.health.forecast import Forecast, forecast
from ft_ops.health.judgement import SlowQuery, Verdict, judge
from ft_ops.health.latency import Latencies, Percentiles, measure_latency, sample_parameters
from ft_ops.health.links import run_link, runbook_link
from ft_ops.health.overview import Line, Picture, Status, page
from ft_ops.health.queries import PRODUCT_QUERIES, Parameters, Screen, screens
from ft_ops.health.samples import (
    Sample,
    TimedSample,
    forget_samples,
    latest_samples,
    series,
    write_samples,
)
from ft_ops.health.telling import News, Told, tell

__all__ = [
    "PRODUCT_QUERIES",
    "Alert",
    "Channel",
    "Connections",
    "Forecast",
    "Growth",
    "Latencies",
    "Level",
    "Line",
    "Mail",
    "News",
    "Outlook",
    "Parameters",
    "Percentiles",
    "Picture",
    "Sample",
    "Screen",
    "Sizes",
    "SlowQuery",
    "Status",
    "TimedSample",
    "Told",
    "Verdict",
    "Webhook",
    "alert_channels",
    "beyond_projection",
    "call_heartbeat",
    "forecast",
    "forget_samples",
    "judge",
    "known_secrets",
    "latest_samples",
    "look_at_connections",
    "measure_latency",
    "measure_sizes",
    "outlook",
    "page",
    "run_link",
    "runbook_link",
    "sample_parameters",
    "screens",
    "series",
    "tell",
    "write_samples",
]
