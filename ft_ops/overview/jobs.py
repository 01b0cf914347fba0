"""The job and the schedule of the overview."""

from collections.abc import Callable

import dagster as dg

from ft_ops.orchestration.jobs import asset_job, schedule
from ft_ops.overview.assets import exported_metrics, overview_of

make_overview = asset_job(
    "make_overview",
    ["overview", "exported_metrics"],
    "Writes the overview and exports the figures.",
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
