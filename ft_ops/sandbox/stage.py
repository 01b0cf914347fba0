"""Runs jobs through a persistent Dagster instance, step by step, in front of a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
from rich.console import Console

from ft_ops.months import Month
from ft_ops.orchestration.jobs import HEAVY_POOL
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.sandbox.jobs import outcomes, run_job
from ft_ops.sandbox.report import CheckOutcome, Step
from ft_ops.sandbox.worker import Worker
from ft_ops.settings import Settings


@dataclass(slots=True)
class Stage:
    """What the steps work on, and what they have shown so far. ``worker`` runs jobs beside them."""

    connection: Connection
    bucket: Bucket
    settings: Settings
    instance: dg.DagsterInstance
    worker: Worker
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

        if self.console.is_terminal:  # in a file nothing is written over it
            self.console.print(f"[bold]{name}[/bold] …", end="\r")
        started = time.monotonic()
        yield tell
        self._show(Step(name, outcome, round(time.monotonic() - started, 2)))

    def run(
        self,
        job: str,
        month: Month | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        ops: Mapping[str, Mapping[str, object]] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job; its failure becomes an OpsError with the failure's own words."""
        result = run_job(self.instance, job, month, tags=tags or {}, ops=ops or {})
        self.checks += outcomes(result)
        return result

    def start(
        self,
        job: str,
        *,
        tags: Mapping[str, str] | None = None,
        ops: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Callable[[str], None]:
        """Run a job beside the steps to come.

        Returns a function that waits for its end, and shows it as a step of this outcome. The ends
        are waited for in the order of the starts.
        """
        wait = self.worker.start(job, tags or {}, ops or {})

        def end(outcome: str) -> None:
            ran = wait()
            self.checks += ran.checks
            self._show(Step(job, outcome, ran.seconds))

        return end

    @contextmanager
    def two_heavy_runs(self) -> Iterator[None]:
        """Let two runs hold the pool of the heavy ones, for the block.

        In production one holds it, for the sake of those that the database serves meanwhile.
        """
        pools = self.instance.event_log_storage
        pools.set_concurrency_slots(HEAVY_POOL, 2)
        try:
            yield
        finally:
            pools.delete_concurrency_limit(HEAVY_POOL)

    def _show(self, step: Step) -> None:
        self.steps.append(step)
        self.console.print(
            f"[bold]{step.name}[/bold]: {step.outcome} [dim]{step.seconds:.1f} s[/dim]",
            soft_wrap=True,
        )
