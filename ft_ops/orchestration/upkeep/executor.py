"""The executor of every run: all steps in one process, which says that it lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import dagster as dg

from ft_ops.errors import OpsError
from ft_ops.orchestration.failed_runs import name_of_run
from ft_ops.orchestration.internals import (
    PARTITION_TAG,
    ExecutionPlan,
    InProcessExecutor,
    PlanOrchestrationContext,
    RetryMode,
    partition_range,
)
from ft_ops.orchestration.upkeep.alive import WATCHED_TAG, saying_alive
from ft_ops.settings import load_settings


class WatchedExecutor(InProcessExecutor):
    """Dagster's in-process executor, which can be seen to live."""

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Run the steps. Without a database to say it in, nothing is said."""
        run = plan_context.dagster_run
        _require_partition(plan_context, run)
        url = _database_url()
        if url is not None:
            plan_context.instance.add_run_tags(run.run_id, {WATCHED_TAG: "true"})
        with saying_alive(run.run_id, url) if url is not None else nullcontext():
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process")
def watched_in_process_executor(_context: dg.InitExecutorContext) -> WatchedExecutor:
    """Steps are SQL or streams: a process a step would cost seconds and give nothing."""
    # No step of ours asks for retries: what may be tried again is tried again within it.
    return WatchedExecutor(RetryMode.ENABLED)


def _require_partition(plan_context: PlanOrchestrationContext, run: dg.DagsterRun) -> None:
    """A dagster.Failure when what runs works on months, and the launch names none."""
    if run.tags.keys() & {PARTITION_TAG, *partition_range("", "")}:
        return
    layer = plan_context.job.get_definition().asset_layer
    keys = layer.selected_asset_keys if run.asset_selection is None else run.asset_selection
    if any(layer.get(key).partitions_def is not None for key in keys):
        name = name_of_run(run)
        raise dg.Failure(
            f"{name} works on months, and this launch names none. Next: choose one in the UI, or "
            f'give it as a tag: dagster job launch -j {name} --tags \'{{"{PARTITION_TAG}": '
            '"2017-03-01"}\'; a range is a backfill: dagster job backfill -j '
            f"{name} --from 2017-01-01 --to 2017-12-01",
            allow_retries=False,
        )


def _database_url() -> str | None:
    try:
        return load_settings().require_database_url()
    except OpsError:
        return None
