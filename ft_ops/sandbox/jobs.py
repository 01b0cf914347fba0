"""Runs a job as `dagster job execute` does, and says in its own words why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg

from ft_ops.definitions import defs
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.orchestration.internals import location_tag
from ft_ops.sandbox.report import CheckOutcome
from ft_ops.sandbox.ui import LOCATION

NEXT_STEP: Final = "remove the cause, or report it as a defect with the lines above"
"""The sandbox is gone when somebody reads this: no run can be looked at."""


def run_job(
    instance: dg.DagsterInstance,
    job: str,
    month: Month | None = None,
    *,
    tags: Mapping[str, str],
    ops: Mapping[str, Mapping[str, object]],
) -> dg.ExecuteInProcessResult:
    """Run a job in this process; its failure becomes an OpsError with the failure's own words.

    An interruption, of which Dagster makes a failure, becomes a KeyboardInterrupt again.
    """
    result = defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=None if month is None else month.key,
        # In this process no code location has launched it, and its job would have no runs.
        tags={**location_tag(LOCATION), **tags},
        run_config={
            "ops": {name: {"config": dict(config)} for name, config in ops.items()},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )
    if not result.success:
        if _is_interrupted(result.all_events):
            raise KeyboardInterrupt
        raise OpsError(
            f"job {job}" + (f" for {month}" if month else ""),
            cause=_causes(result.all_events) or "it failed without a step that failed",
            next_step=NEXT_STEP,
        )
    return result


def outcomes(result: dg.ExecuteInProcessResult) -> list[CheckOutcome]:
    """What the run's asset checks found."""
    return [
        CheckOutcome(
            evaluation.check_name,
            "passed" if evaluation.passed else evaluation.severity.value.lower(),
            evaluation.description or "",
        )
        for evaluation in result.get_asset_check_evaluations()
    ]


def _is_interrupted(events: Sequence[dg.DagsterEvent]) -> bool:
    errors = [e.step_failure_data.error for e in events if e.is_step_failure]
    return any(
        error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__
        for error in errors
    )


def _causes(events: Sequence[dg.DagsterEvent]) -> str:
    causes = []
    for event in events:
        if event.is_step_failure:
            data = event.step_failure_data
            failure = data.user_failure_data
            if failure is not None and failure.description:
                causes.append(failure.description)
            elif data.error is not None:
                causes.append(data.error.to_string().strip().splitlines()[0])
    return "; ".join(causes)
