"""The figures for Prometheus: as a textfile for the node exporter, or to a Pushgateway."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway, write_to_textfile
from prometheus_client.exposition import basic_auth_handler

from ft_ops.deadline import call_within
from ft_ops.errors import OpsError
from ft_ops.health import TimedSample

STANDING_METRIC: Final = "standing"
"""The status of each thing on the overview: 0 good, 1 warning, 2 unknown, 3 bad."""
_TIMEOUT_SECONDS: Final = 10
_LONGEST_SECONDS: Final = 30.0


def registry_of(samples: Iterable[TimedSample]) -> CollectorRegistry:
    """A gauge ``ft_<metric>{subject="…"}`` a figure, with the moment when each was taken."""
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    taken = Gauge(
        "ft_sampled_timestamp_seconds",
        "When the newest figure of this metric was taken.",
        ["metric"],
        registry=registry,
    )
    newest: dict[str, float] = {}
    for sample in samples:
        if sample.metric not in gauges:
            gauges[sample.metric] = Gauge(
                f"ft_{sample.metric}",
                f"{sample.metric} as kept in ops.metric_samples.",
                ["subject"],
                registry=registry,
            )
        gauges[sample.metric].labels(subject=sample.subject).set(sample.value)
        moment = sample.sampled_at.timestamp()
        newest[sample.metric] = max(newest.get(sample.metric, moment), moment)
    for metric, moment in newest.items():
        taken.labels(metric=metric).set(moment)
    return registry


def write_textfile(registry: CollectorRegistry, path: Path) -> None:
    """Replace the file in one step, so that a reader never finds half of it."""
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise OpsError(
            f"metrics file {path}",
            cause=error.strerror or str(error),
            next_step="correct FT_METRICS_TEXTFILE, or the rights on its folder",
        ) from error


def push(registry: CollectorRegistry, url: str) -> None:
    """Replace what the gateway holds of the job ``ft_ops``; ``url`` may hold user and password."""
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    handler = partial(
        basic_auth_handler,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
    try:
        # The time-out is that of each piece of an answer: one that drips would never end.
        call_within(
            _LONGEST_SECONDS,
            lambda: push_to_gateway(
                address,
                job="ft_ops",
                registry=registry,
                timeout=_TIMEOUT_SECONDS,
                handler=handler,
            ),
        )
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise OpsError(
            f"Pushgateway on {parts.hostname}",
            cause=f"{type(error).__name__}: {error}",
            next_step="check FT_METRICS_PUSHGATEWAY_URL, and that its host answers",
        ) from error
