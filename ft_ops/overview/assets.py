"""The overview, and the same figures for Prometheus."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta

import dagster as dg

from ft_ops.alerting import known_secrets, masked_text
from ft_ops.clock import utc_now
from ft_ops.health import (
    Sample,
    capacity_picture,
    current_samples,
    outlook,
    volume_size,
    write_samples,
)
from ft_ops.items import Worked
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.orchestration.status import standings as dagsters_standings
from ft_ops.overview.delivery import Page, deliver
from ft_ops.overview.html_page import html_page, plain_page
from ft_ops.overview.morning_page import ENOUGH_POINTS, Picture, page, summary
from ft_ops.overview.prometheus import STANDING_METRIC, push, registry_of, write_textfile
from ft_ops.overview.rooms import ask_rooms
from ft_ops.pg.connect import Connection, server_time
from ft_ops.settings import Settings
from ft_ops.standing import Standing, Status, asked

_LATEST = timedelta(days=7)
_LONGEST_QUESTION = "60s"
"""The page has to come this morning, whatever one of its questions waits for."""
_DELIVERED = "page_delivered"


def overview_of(assembled: Callable[[], dg.Definitions]) -> dg.AssetsDefinition:
    """The asset `overview` of the definitions of all rooms, which are given when it runs."""

    @dg.asset(
        deps=["query_latency", "capacity", "connections"],
        group_name="health",
        kinds={"markdown"},
        owners=OWNERS,
        description=(
            "The page for the morning: what needs somebody first, then what is in order. Months, "
            "archives, backups and drills, storage, maintenance, latency, capacity, failed checks "
            "and runs, late schedules. What could not be asked is unknown, with the reason, and "
            "the page comes all the same. Read it in this asset's metadata; as one HTML file it "
            "also goes to FT_OVERVIEW_FILE, to FT_OVERVIEW_PREFIX in the archive bucket, and to "
            "FT_OVERVIEW_EMAIL_TO."
        ),
        check_specs=[
            dg.AssetCheckSpec(
                _DELIVERED,
                asset="overview",
                description="The morning's page arrived by every way that a setting opens.",
            )
        ],
    )
    def overview(
        context: dg.AssetExecutionContext,
        database: DatabaseResource,
        settings: dg.ResourceParam[Settings],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with check_specs, Dagster takes none
        now = utc_now()

        def connect() -> AbstractContextManager[Connection]:
            return database.connect("overview", statement_timeout=_LONGEST_QUESTION)

        standings = [
            *dagsters_standings(context.instance, assembled(), context.run, now),
            *ask_rooms(connect, settings, now),
        ]
        pictures, unkept = _kept(connect, standings)
        standings = _without_secrets([*standings, *unkept], settings)
        delivered = deliver(
            Page(
                html_page(standings, pictures, now, settings),
                summary(standings).replace("**", ""),
                plain_page(standings, now),
                now,
            ),
            settings,
            context.log.warning,
        )
        standings += _undelivered(delivered)
        counts = Counter(standing.status for standing in standings)
        return dg.MaterializeResult(
            metadata={
                "overview": dg.MetadataValue.md(page(standings, pictures, now, settings)),
                "red": counts[Status.BAD],
                "unknown": counts[Status.UNKNOWN],
                "yellow": counts[Status.WARNING],
                "green": counts[Status.GOOD],
                "delivered to": ", ".join(delivered.results) or "nowhere",
            },
            check_results=[_judged(delivered)],
        )

    return overview


@dg.asset(
    deps=["query_latency", "capacity", "connections", "overview"],
    group_name="health",
    kinds={"prometheus"},
    owners=OWNERS,
    description=(
        "The newest figures of ops.metric_samples for Prometheus: as a textfile where "
        "FT_METRICS_TEXTFILE is set, pushed where FT_METRICS_PUSHGATEWAY_URL is."
    ),
)
def exported_metrics(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[None]:
    with as_failure():
        with database.connect("exported metrics") as connection:
            samples = current_samples(connection, server_time(connection), _LATEST)
        registry = registry_of(samples)
        ways = []
        if settings.metrics_textfile is not None:
            write_textfile(registry, settings.metrics_textfile)
            ways.append(str(settings.metrics_textfile))
        if settings.metrics_pushgateway_url is not None:
            push(registry, settings.metrics_pushgateway_url.get_secret_value())
            ways.append("the Pushgateway")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(samples),
            "exported to": ", ".join(ways) or "nowhere: neither variable is set",
            "figures": table(
                ["metric", "subject", "value", "taken at"],
                ((s.metric, s.subject, s.value, s.sampled_at.isoformat()) for s in samples),
            ),
        }
    )


def _kept(
    connect: Callable[[], AbstractContextManager[Connection]],
    standings: Sequence[Standing],
) -> tuple[list[Picture], list[Standing]]:
    """The picture of the server's volume, once the page's own figures are kept; or why not."""
    pictures: list[Picture] = []

    def keep() -> list[Standing]:
        with connect() as connection:
            now = server_time(connection)
            write_samples(connection, _samples(standings), now)
            ahead = outlook(connection, now)
            size = volume_size(connection, now)
        if len(ahead.history) >= ENOUGH_POINTS:
            pictures.append(Picture("The server's volume", capacity_picture(ahead, size)))
        return []

    return pictures, asked("overview", "figures for the metrics", keep, section="make_overview")


def _without_secrets(standings: Sequence[Standing], settings: Settings) -> list[Standing]:
    """The same without passwords, keys and secret addresses: the page leaves the house."""
    secrets = known_secrets(settings, os.environ.items())
    return [
        replace(
            standing,
            figure=masked_text(standing.figure, secrets),
            reason=masked_text(standing.reason, secrets),
        )
        for standing in standings
    ]


def _undelivered(delivered: Worked[str]) -> list[Standing]:
    """The ways on which the page did not arrive, for the page in the UI."""
    return [
        Standing(
            "overview",
            f"page by {failed.name}",
            Status.BAD,
            "not delivered",
            f"{failed.cause}. Next: {failed.next_step}",
            section=_DELIVERED,
        )
        for failed in delivered.failed
    ]


def _judged(delivered: Worked[str]) -> dg.AssetCheckResult:
    told = "; ".join(f"{failed}. Next: {failed.next_step}" for failed in delivered.failed)
    ways = f"delivered to {', '.join(delivered.results)}" if delivered.results else "no way is set"
    return dg.AssetCheckResult(
        check_name=_DELIVERED, passed=not delivered.failed, description=told or ways
    )


def _samples(standings: Sequence[Standing]) -> list[Sample]:
    """How many things are how well, and each thing's own status, for the metrics."""
    counts = Counter(standing.status for standing in standings)
    worst: dict[str, Status] = {}
    for standing in standings:
        subject = f"{standing.area}: {standing.what}"
        worst[subject] = max(standing.status, worst.get(subject, Status.GOOD))
    return [
        *(Sample("overview_lines", status.name.lower(), counts[status]) for status in Status),
        *(Sample(STANDING_METRIC, subject, status) for subject, status in worst.items()),
    ]
