"""The job and the schedule of the overview."""

from collections.abc import Callable

import dagster as dg

from ft_ops.orchestration.jobs import asset_job, schedule
from ft_ops.overview.assets import exported_metrics, overview_of
from ft_ops.overview.monitoring import Section, check_section, job_section, sensor_section

make_overview = asset_job(
    "make_overview",
    ["overview", "exported_metrics"],
    "Writes the overview and exports the figures.",
    identity=True,
)

make_overview_daily = schedule(
    "make_overview_daily",
    make_overview,
    # After check_health, whatever became of it: the page must come when a measurement fails.
    "30 6 * * *",
)


def definitions(assembled: Callable[[], dg.Definitions]) -> dg.Definitions:
    """What this room defines; its page is about ``assembled``, the definitions of all rooms."""
    return dg.Definitions(
        assets=[overview_of(assembled), exported_metrics],
        jobs=[make_overview],
        schedules=[make_overview_daily],
    )


def sections_of(definitions: dg.Definitions) -> list[Section]:
    """The runbook's sections on all checks, jobs and sensors."""
    checks = definitions.resolve_asset_graph().asset_check_keys
    jobs = [job.name for job in definitions.resolve_all_job_defs()]
    return [
        *(check_section(key.asset_key.to_user_string(), key.name) for key in checks),
        *(job_section(name) for name in jobs if not name.startswith("__")),
        *(sensor_section(sensor.name) for sensor in definitions.sensors or ()),
    ]
