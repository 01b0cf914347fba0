"""Everything of Dagster's that has no public name: no other module imports ``dagster._…``.

An upgrade of Dagster that moves one of these breaks here, and nowhere else.
"""

from collections.abc import Mapping
from typing import Final

from dagster._core.definitions.metadata import RawMetadataMapping
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    TickStatus,
)
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from dagster._utils.schedules import get_latest_completed_cron_tick, get_smallest_cron_interval

__all__ = [
    "PARTITION_TAG",
    "AssetCheckExecutionRecord",
    "AssetCheckExecutionRecordStatus",
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorTick",
    "InstigatorType",
    "RawMetadataMapping",
    "RemoteRepositoryOrigin",
    "RepositoryDefinition",
    "ScheduleInstigatorData",
    "TickStatus",
    "UnresolvedAssetJobDefinition",
    "get_latest_completed_cron_tick",
    "get_smallest_cron_interval",
    "partition_range",
]

PARTITION_TAG: Final = "dagster/partition"
"""The tag of a run of one partition."""


def partition_range(first: str, last: str) -> Mapping[str, str]:
    """The tags of one run over the partitions from ``first`` to ``last``, both included."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
