"""Runs jobs through a persistent Dagster instance, step by step, in front of a person."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import dagster as dg
from rich.console import Console

from ft_ops.definitions import defs
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.sandbox.report import CheckOutcome, Step
from ft_ops.settings import Settings

_NEXT_STEP = "remove the cause, or report it as a defect with the lines above"
"""The sandbox is gone when somebody reads this: no run can be looked at."""


@dataclass(slots=True)
class Stage:
    """What the steps work on, and what they have shown so far."""

    connection: Connection
    bucket: Bucket
    settings: Settings
    instance: dg.DagsterInstance
    console: Console
    steps: list[Step] = field(default_factory=list)
    checks: list[CheckOutcome] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a step; the block says its outcome by the function that it gets."""
        outcome = ""

        def tell(text: str) -> None:
            nonlocal outcome
            outcome = text

        self.console.print(f"[bold]{name}[/bold] …", end="\r")
        started = time.monotonic()
        yield tell
        seconds = time.monotonic() - started
        self.steps.append(Step(name, outcome, round(seconds, 2)))
        self.console.print(f"[bold]{name}[/bold]: {outcome} [dim]{seconds:.1f} s[/dim]")

    def run(
        self,
        job: str,
        month: Month | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        ops: Mapping[str, Mapping[str, object]] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job; its failure becomes an OpsError with the failure's own words."""
        result = defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=None if month is None else month.key,
            tags=dict(tags or {}),
            run_config={
                "ops": {name: {"config": dict(config)} for name, config in (ops or {}).items()},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )
        if not result.success:
            raise OpsError(
                f"job {job}" + (f" for {month}" if month else ""),
                cause=_failures(result),
                next_step=_NEXT_STEP,
            )
        self.checks += [_check(evaluation) for evaluation in result.get_asset_check_evaluations()]
        return result


@contextmanager
def beside(job: str, tags: Mapping[str, str] | None = None) -> Iterator[Callable[[], None]]:
    """Run a job in a process of its own, beside the block.

    Yields a function that waits for its end; an OpsError when it failed. A thread would not do:
    each run configures the logging of its process, and two of them lock each other out.
    """
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "ft_ops.definitions"]
    mark = {"ft_ops/beside": uuid4().hex}
    command += ["-j", job, "--tags", json.dumps({**(tags or {}), **mark})]
    # A file: nobody reads meanwhile, and a pipe that is full would stop the run.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as process,
    ):

        def wait() -> None:
            if process.wait():
                said.seek(0)
                complaints = said.read().decode(errors="replace")
                raise OpsError(
                    f"job {job}",
                    cause=_failures_of_run(mark) or "\n".join(complaints.strip().splitlines()[-5:]),
                    next_step=_NEXT_STEP,
                )

        try:
            yield wait
        finally:
            if process.poll() is None:
                process.terminate()


def _check(evaluation: dg.AssetCheckEvaluation) -> CheckOutcome:
    outcome = "passed" if evaluation.passed else evaluation.severity.value.lower()
    return CheckOutcome(evaluation.check_name, outcome, evaluation.description or "")


def _failures_of_run(tags: Mapping[str, str]) -> str:
    """Why the run with these tags failed, from its events; nothing when it has none."""
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs(filters=dg.RunsFilter(tags=dict(tags)))
        entries = [entry for run in runs for entry in instance.all_logs(run.run_id)]
    events = (entry.dagster_event for entry in entries)
    return _causes([event for event in events if event is not None])


def _failures(result: dg.ExecuteInProcessResult) -> str:
    return _causes(result.all_events) or "it failed without a step that failed"


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
