"""The executor of every run: all steps in one process, which lives as long as its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from functools import partial

import dagster as dg

from ft_ops.errors import OpsError
from ft_ops.orchestration.failed_runs import name_of_run
from ft_ops.orchestration.internals import (
    MAX_RUNTIME_SECONDS_TAG,
    PARTITION_TAG,
    ExecutionPlan,
    InProcessExecutor,
    PlanOrchestrationContext,
    RetryMode,
    partition_range,
)
from ft_ops.orchestration.jobs import last_bound
from ft_ops.orchestration.upkeep.alive import WATCHED_IN_TAG, WATCHED_TAG, saying_alive
from ft_ops.orchestration.upkeep.condition import STORAGE_ERRORS
from ft_ops.orchestration.upkeep.ended import ending_with_its_run
from ft_ops.settings import load_settings


class WatchedExecutor(InProcessExecutor):
    """Dagster's in-process executor, which can be seen to live."""

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Run the steps. Without a database to say it in, nothing is said."""
        run, instance = plan_context.dagster_run, plan_context.instance
        _require_partition(plan_context, run)
        url = _database_url()
        # Both in any case: a run that is executed anew bears the tags of the one before.
        watched = {WATCHED_TAG: "false" if url is None else "true", WATCHED_IN_TAG: ""}
        instance.add_run_tags(run.run_id, {**_last_bound(run), **watched})
        tell = partial(_tell_database, instance, run.run_id)
        with (
            saying_alive(run.run_id, url, tell) if url is not None else nullcontext(),
            ending_with_its_run(partial(_has_ended, instance, run.run_id)),
        ):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process")
def watched_in_process_executor(_context: dg.InitExecutorContext) -> WatchedExecutor:
    """Steps are SQL or streams: a process a step would cost seconds and give nothing."""
    # No step of ours asks for retries: what may be tried again is tried again within it.
    return WatchedExecutor(RetryMode.ENABLED)


def _last_bound(run: dg.DagsterRun) -> Mapping[str, str]:
    """That of every job, for a run that was launched without one: from the page of an asset."""
    return {} if MAX_RUNTIME_SECONDS_TAG in run.tags else last_bound(load_settings())


def _tell_database(instance: dg.DagsterInstance, run_id: str, database: str) -> None:
    # A run that does not bear it is judged by whoever looks, as before.
    with suppress(*STORAGE_ERRORS, dg.DagsterError):
        instance.add_run_tags(run_id, {WATCHED_IN_TAG: database})


def _has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the run has an end; one that can't be read, or is not there, has none."""
    try:
        run = instance.get_run_by_id(run_id)
    except (*STORAGE_ERRORS, dg.DagsterError):
        return False
    return run is not None and run.is_finished


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
