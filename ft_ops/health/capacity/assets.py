"""Sizes, growth and what they lead to, as an asset and its checks."""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from ft_ops.clock import utc_now
from ft_ops.format import human_bytes
from ft_ops.health.capacity.pictures import capacity_picture, growth_picture
from ft_ops.health.capacity.sizes import (
    PROJECTED_CONTENT_BYTES,
    PROJECTED_FAMILIES,
    PROJECTED_SEGMENTS,
    Outlook,
    Sizes,
    beyond_projection,
    measure_sizes,
    outlook,
)
from ft_ops.health.defs import problems_check
from ft_ops.health.samples import forget_samples, write_samples
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings

# MaterializeResult stands bare below: with check_specs, Dagster takes no subscripted annotation.


@dg.asset(
    deps=["schema"],
    group_name="health",
    kinds={"postgres"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "disk_headroom",
            asset="capacity",
            description="The disk is not expected to be full within FT_DISK_WARNING_DAYS.",
        ),
        dg.AssetCheckSpec(
            "growth_within_projection",
            asset="capacity",
            description="The last whole month brought no more than FT_GROWTH_TOLERANCE times what "
            "the specification projects.",
        ),
    ],
    description=(
        "Sizes of tables, indexes, partitions and archives, kept over time; growth by month "
        "against the projections, a forecast with its band, and the day the disk is full."
    ),
)
def capacity(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    now = utc_now()
    with as_failure(), database.connect("capacity") as connection:
        sizes = measure_sizes(connection, now)
        write_samples(connection, sizes.samples(), now)
        forgotten = forget_samples(connection, now - timedelta(days=settings.metric_keep_days))
        ahead = outlook(connection, now)
    limit = settings.database_volume_gb * 1e9 if settings.database_volume_gb is not None else None
    return dg.MaterializeResult(
        metadata={
            "database": human_bytes(sizes.database_bytes),
            "forecast": dg.MetadataValue.md(
                f"{_outlook_words(ahead, limit)}\n\n![]({capacity_picture(ahead, limit)})"
            ),
            "growth": dg.MetadataValue.md(
                f"![]({growth_picture(sizes.growth, PROJECTED_SEGMENTS)})"
            ),
            "growth by month": _growth_table(sizes),
            "tables": table(
                ["table", "table bytes", "index bytes", "rows (estimated)"],
                ((t.name, t.table_bytes, t.index_bytes, t.estimated_rows) for t in sizes.tables),
            ),
            "partitions": table(["partition", "bytes"], sizes.partitions.items()),
            "archive": table(["storage class", "bytes"], sizes.archive.items()),
            "locked": dg.MetadataValue.json(list(sizes.locked)),
            "samples removed": f"{forgotten.number} {forgotten.of}",
        },
        check_results=[
            _disk_check(sizes, ahead, limit, settings),
            _growth_check(beyond_projection(sizes.growth, now, settings.growth_tolerance)),
        ],
    )


def _outlook_words(ahead: Outlook, limit: float | None) -> str:
    if ahead.forecast is None:
        return f"Too little history for a forecast: {len(ahead.history)} figures."
    growth = f"It grows by {human_bytes(ahead.forecast.daily_growth)} a day."
    if limit is None:
        return f"{growth} FT_DATABASE_VOLUME_GB is not set."
    expected, earliest = ahead.forecast.reaches(limit), ahead.forecast.may_reach(limit)
    if earliest is None:
        return f"{growth} The disk is not full within two years."
    if expected is None:
        return f"{growth} The disk may be full on {earliest} at the earliest."
    return f"{growth} The disk is full about {expected}, on {earliest} at the earliest."


def _growth_table(sizes: Sizes) -> dg.MetadataValue:
    projected = (PROJECTED_SEGMENTS, PROJECTED_FAMILIES, None, PROJECTED_CONTENT_BYTES)
    return table(
        ["month", "segments", "families", "users", "bytes of content"],
        [
            *(
                (str(g.month), g.segments, g.families, g.users, g.content_bytes)
                for g in sizes.growth
            ),
            ("projected", *projected),
        ],
    )


def _disk_check(
    sizes: Sizes, ahead: Outlook, limit: float | None, settings: Settings
) -> dg.AssetCheckResult:
    if limit is None:
        return dg.AssetCheckResult(
            check_name="disk_headroom",
            passed=True,
            description="not judged: FT_DATABASE_VOLUME_GB is not set",
        )
    is_full = sizes.database_bytes >= limit
    earliest = ahead.forecast.may_reach(limit) if ahead.forecast is not None else None
    horizon = utc_now().date() + timedelta(days=settings.disk_warning_days)
    is_near = earliest is not None and earliest <= horizon
    share = f"{sizes.database_bytes / limit:.0%} of {human_bytes(limit)} are used"
    return dg.AssetCheckResult(
        check_name="disk_headroom",
        passed=not is_full and not is_near,
        severity=dg.AssetCheckSeverity.ERROR if is_full else dg.AssetCheckSeverity.WARN,
        description=f"{share}. {_outlook_words(ahead, limit)}",
    )


def _growth_check(problems: Sequence[str]) -> dg.AssetCheckResult:
    return problems_check("growth_within_projection", problems, is_error=False)
