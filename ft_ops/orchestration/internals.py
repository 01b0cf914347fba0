"""Everything of Dagster's that has no public name: no other module imports ``dagster._…``.

An upgrade of Dagster that moves one of these breaks here, and nowhere else.
"""

from collections.abc import Mapping
from typing import Final

from dagster._core.definitions.metadata import RawMetadataMapping, RawMetadataValue
from dagster._core.definitions.repository_definition import (
    SINGLETON_REPOSITORY_NAME,
    RepositoryDefinition,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.events import JobFailureData
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.stats import StepEventStatus
from dagster._core.executor.in_process import InProcessExecutor
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
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    MAX_RUNTIME_SECONDS_TAG,
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
)
from dagster._utils.schedules import get_latest_completed_cron_tick, get_smallest_cron_interval
from dagster_postgres import PostgresEventLogStorage as ConsolidatedEventLog
from dagster_shared.error import SerializableErrorInfo

__all__ = [
    "BACKFILL_TAG",
    "MAX_RUNTIME_SECONDS_TAG",
    "PARTITION_TAG",
    "PRIORITY_TAG",
    "AssetCheckExecutionRecord",
    "AssetCheckExecutionRecordStatus",
    "AssetCheckExecutionsTable",
    "AssetEventTagsTable",
    "ConsolidatedEventLog",
    "ExecutionPlan",
    "InProcessExecutor",
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorTick",
    "InstigatorType",
    "JobFailureData",
    "PlanOrchestrationContext",
    "RawMetadataMapping",
    "RawMetadataValue",
    "RemoteRepositoryOrigin",
    "RepositoryDefinition",
    "RetryMode",
    "ScheduleInstigatorData",
    "SerializableErrorInfo",
    "SqlEventLogStorageTable",
    "StepEventStatus",
    "TickStatus",
    "UnresolvedAssetJobDefinition",
    "get_latest_completed_cron_tick",
    "get_smallest_cron_interval",
    "location_tag",
    "partition_range",
]

PARTITION_TAG: Final = "dagster/partition"
"""The tag of a run of one partition."""
BACKFILL_TAG: Final = "dagster/backfill"


def partition_range(first: str, last: str) -> Mapping[str, str]:
    """The tags of one run over the partitions from ``first`` to ``last``, both included."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def location_tag(location: str) -> Mapping[str, str]:
    """The tag by which the UI lists a run below the jobs of a code location."""
    return {REPOSITORY_LABEL_TAG: f"{SINGLETON_REPOSITORY_NAME}@{location}"}
