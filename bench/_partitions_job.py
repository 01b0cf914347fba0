"""The job `create_partitions` for the first months of the definitions, as a child runs it."""

from __future__ import annotations

import dagster as dg
import upath  # noqa: F401  the default I/O manager would import it in the first run of a process

from ft_ops.definitions import defs
from ft_ops.orchestration.internals import partition_range
from ft_ops.orchestration.partitions import monthly

INSTANCE = dg.DagsterInstance.ephemeral()
"""Made here, because making the first one imports its storage."""


def create(months: str) -> None:
    """Run the job in the database that FT_DATABASE_URL names."""
    keys = monthly.get_partition_keys()[: int(months)]
    result = defs.resolve_job_def("create_partitions").execute_in_process(
        instance=INSTANCE, tags=partition_range(keys[0], keys[-1])
    )
    assert result.success
