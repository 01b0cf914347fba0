"""The executor of every run: all steps in one process, which says that it lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import dagster as dg

from ft_ops.errors import OpsError
from ft_ops.orchestration.internals import (
    ExecutionPlan,
    InProcessExecutor,
    PlanOrchestrationContext,
    RetryMode,
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


def _database_url() -> str | None:
    try:
        return load_settings().require_database_url()
    except OpsError:
        return None
