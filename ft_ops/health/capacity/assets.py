"""Sizes, growth and what they lead to, as an asset and its checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from ft_ops.backups import ProvidedStorage, provided_storage
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError
from ft_ops.format import human_bytes
from ft_ops.health.capacity.disk import (
    DiskState,
    Outlook,
    judge_disk,
    measure_volumes,
    outlook,
    volume_samples,
)
from ft_ops.health.capacity.pictures import capacity_picture, growth_picture
from ft_ops.health.capacity.sizes import (
    PROJECTED_CONTENT_BYTES,
    PROJECTED_FAMILIES,
    PROJECTED_SEGMENTS,
    Sizes,
    beyond_projection,
    measure_sizes,
)
from ft_ops.health.checks import problems_check
from ft_ops.health.samples import forget_samples, write_samples
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import Connection, server_time
from ft_ops.pg.disk import Volume
from ft_ops.settings import Settings
from ft_ops.standing import Status

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
            description="The server's volumes, with all databases, the log and temporary files, "
            "are less than 80 % full (an error from 95 % on), and none of them is expected to be "
            "full within FT_DISK_WARNING_DAYS.",
        ),
        dg.AssetCheckSpec(
            "growth_within_projection",
            asset="capacity",
            description="The last whole month brought no more than FT_GROWTH_TOLERANCE times what "
            "the specification projects.",
        ),
    ],
    description=(
        "Sizes of the server's volumes, tables, indexes, partitions and archives, kept over time; "
        "growth by month against the projections, a forecast with its band, and the day on which "
        "a volume is full."
    ),
)
def capacity(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with as_failure(), database.connect("capacity") as connection:
        now = server_time(connection)
        sizes = measure_sizes(connection, now)
        provided, unknown = _provided(settings)
        found = measure_volumes(connection, settings, provided)
        write_samples(connection, [*sizes.samples(), *volume_samples(found)], now)
        keep = timedelta(days=settings.metric_keep_days)
        forgotten = forget_samples(connection, utc_now(), keep)
        disks = _verdicts(connection, found, settings, now)
    return dg.MaterializeResult(
        metadata={
            "database": human_bytes(sizes.database_bytes),
            "forecast": _forecasts(disks),
            "volumes": table(
                ["volume", "bytes used", "bytes", "what fills it"],
                ((v.name, v.used_bytes, v.size_bytes, "; ".join(v.words)) for v in found),
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
            "sizes that the provider does not tell": unknown,
            "locked": dg.MetadataValue.json(list(sizes.locked)),
            "samples removed": str(forgotten),
        },
        check_results=[
            _disk_check(disks),
            _growth_check(beyond_projection(sizes.growth, now, settings.growth_tolerance)),
        ],
    )


def _provided(settings: Settings) -> tuple[ProvidedStorage | None, str]:
    """The volumes' sizes by who provides them; and why it is not known, in words."""
    if settings.database_volume_gb is not None:
        return None, "not asked: FT_DATABASE_VOLUME_GB says it"
    try:
        return provided_storage(settings), "none"
    except OpsError as error:
        return None, str(error)


@dataclass(frozen=True, slots=True)
class _Disk:
    volume: Volume
    ahead: Outlook
    state: DiskState

    @property
    def words(self) -> str:
        """How it is, and what fills it."""
        fills = ", ".join(self.volume.words)
        return f"{self.state.words}; {fills}" if fills else self.state.words


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


def _verdicts(
    connection: Connection, found: Sequence[Volume], settings: Settings, now: datetime
) -> list[_Disk]:
    """Each volume with where it is going and how it is; the worst first."""
    disks = []
    for volume in found:
        ahead = outlook(connection, now, volume.name)
        state = judge_disk(
            volume.name,
            volume.used_bytes,
            volume.size_bytes,
            ahead.forecast,
            today=now.date(),
            warning_days=settings.disk_warning_days,
        )
        disks.append(_Disk(volume, ahead, state))
    return sorted(disks, key=lambda disk: disk.state.status, reverse=True)


def _disk_check(disks: Sequence[_Disk]) -> dg.AssetCheckResult:
    worst = disks[0].state.status
    return dg.AssetCheckResult(
        check_name="disk_headroom",
        passed=worst == Status.GOOD,
        severity=dg.AssetCheckSeverity.ERROR if worst == Status.BAD else dg.AssetCheckSeverity.WARN,
        description=". ".join(disk.words for disk in disks),
    )


def _forecasts(disks: Sequence[_Disk]) -> dg.MetadataValue:
    return dg.MetadataValue.md(
        "\n\n".join(
            f"{disk.state.words}\n\n![]({capacity_picture(disk.ahead, disk.volume.size_bytes)})"
            for disk in disks
        )
    )


def _growth_check(problems: Sequence[str]) -> dg.AssetCheckResult:
    return problems_check("growth_within_projection", problems, is_error=False)
