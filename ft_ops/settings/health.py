"""What counts as slow, full, stuck or behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from ft_ops.settings.base import (
    RoomSettings,
    addresses,
    ending_in,
    folder,
    kept_secret,
    names,
    web_url_of,
)

_pushgateway = kept_secret(web_url_of("http", "https"))


class HealthSettings(RoomSettings):
    """The health's settings."""

    app_role: str = Field(
        default="ft_app",
        description="The application's role. Latency is measured as it, under its policies, "
        "where the operations role may become it.",
    )
    latency_samples: int = Field(
        default=100, ge=5, le=10_000, description="Executions of each product query in one run."
    )
    latency_budget_seconds: float = Field(
        default=60.0, gt=0, le=3_600, description="After so long no further execution is begun."
    )
    latency_timeout_ms: int = Field(
        default=2000,
        ge=1,
        le=600_000,
        description="The time-out of one execution; it counts as that long.",
    )
    target_thread_ms: float = Field(
        default=50.0, ge=0, le=60_000, description="p95 of loading a thread with its content."
    )
    target_book_list_ms: float = Field(
        default=100.0, ge=0, le=60_000, description="p95 of listing a family's memory books."
    )
    target_search_ms: float = Field(
        default=200.0, ge=0, le=60_000, description="p95 of a search by tags."
    )
    target_dashboard_ms: float = Field(
        default=150.0,
        ge=0,
        le=60_000,
        description="p95 of a family's dashboard: its storage and its active members.",
    )
    disk_warning_days: int = Field(
        default=90,
        ge=1,
        le=3_650,
        description="Warn when the space may be used up within so many days.",
    )
    growth_tolerance: float = Field(
        default=1.5,
        gt=1,
        le=1_000,
        description="Warn when a month grew by more than so many times what was projected.",
    )
    metric_keep_days: int = Field(
        default=400,
        ge=31,
        le=36_500,
        description="Days that samples in ops.metric_samples are kept.",
    )
    pool_connections: int = Field(
        default=25, ge=1, le=100_000, description="The size of the application's connection pool."
    )
    idle_transaction_seconds: int = Field(
        default=60,
        ge=1,
        le=604_800,
        description="A session idle in its transaction for longer is stuck.",
    )
    blocked_seconds: int = Field(
        default=30,
        ge=1,
        le=604_800,
        description="A session that waits for a lock for longer is stuck.",
    )
    replication_lag_seconds: float = Field(
        default=60.0, gt=0, le=604_800, description="How far a replica may lag behind."
    )
    slot_gigabytes: float = Field(
        default=10.0,
        gt=0,
        le=1_000_000,
        description="Log that a replication slot may hold back, in units of 10^9 bytes.",
    )
    metrics_textfile: Annotated[Path, AfterValidator(ending_in(".prom"))] | None = Field(
        default=None,
        examples=["/var/lib/node_exporter/ft_ops.prom"],
        description="Where the figures go as a Prometheus textfile, for the node exporter.",
    )
    metrics_pushgateway_url: Annotated[SecretStr, AfterValidator(_pushgateway)] | None = Field(
        default=None,
        examples=["https://pushgateway.example.org:9091"],
        description="A Prometheus Pushgateway that the figures are pushed to.",
    )
    overview_file: Annotated[Path, AfterValidator(ending_in(".html"))] | None = Field(
        default=None,
        examples=["/srv/www/ft-ops/overview.html"],
        description="Where the morning's page is written, as one HTML file.",
    )
    overview_prefix: Annotated[str, AfterValidator(folder)] | None = Field(
        default=None,
        examples=["overview"],
        description="A folder of FT_ARCHIVE_BUCKET that the morning's page is written to, under "
        "its day's name and as latest.html.",
    )
    overview_email_to: Annotated[
        frozenset[str], BeforeValidator(names), AfterValidator(addresses)
    ] = Field(
        default=frozenset(),
        examples=["ada@example.org,grace@example.org"],
        description="Addresses, comma separated, that the morning's page is mailed to, by "
        "FT_SMTP_URL and from FT_ALERT_EMAIL_FROM.",
    )
