"""Spans of runs and of their steps, made after the run from what Dagster kept of it.

So a run has its span however it ended: the process that was killed could not have sent one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from ft_ops.errors import OpsError
from ft_ops.orchestration.failed_runs import name_of_run, partition_of
from ft_ops.spans import Ended, TracedStep, export, is_installed

_LOOK_BACK_SECONDS: Final = 24 * 3600
_MOST_RUNS: Final = 50
"""Runs of one tick: as many again a minute later."""
_ENDED: Final = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]


def export_ended_runs(
    instance: dg.DagsterInstance, variable: str, cursor: str | None, now: float
) -> tuple[int, str]:
    """Send what ended since ``cursor``; how many runs, and the cursor for the next time.

    Without a cursor what ended before now is history. An OpsError when the collector took
    nothing: the same runs are sent by the next call, for a day.
    """
    if not is_installed():
        raise OpsError(
            variable,
            cause="the packages of OpenTelemetry are not installed",
            next_step="install ft-ops[otel], or unset it",
        )
    if cursor is None:
        return 0, _written(now, [])
    since, told = _read(cursor)
    # A cursor that a clock has put ahead would wait for that moment.
    since = min(max(since, now - _LOOK_BACK_SECONDS), now)
    records = [
        record
        for record in instance.get_run_records(
            dg.RunsFilter(statuses=_ENDED, updated_after=datetime.fromtimestamp(since - 1, UTC)),
            limit=_MOST_RUNS + len(told),
            order_by="update_timestamp",
            ascending=True,
        )
        if record.dagster_run.run_id not in told
    ][:_MOST_RUNS]
    if not records:
        return 0, cursor
    spans = [span for record in records for span in _spans_of(instance, record)]
    if not export(spans):
        raise OpsError(
            f"the collector of {variable}",
            cause="it took no spans",
            next_step="see whether it can be reached, and OTEL_EXPORTER_OTLP_HEADERS; they are "
            "sent again for a day",
        )
    last = records[-1].update_timestamp.timestamp()
    # Of one moment, some may have ended after they were looked for: those told are remembered.
    kept = [*told, *(record.dagster_run.run_id for record in records)][-2 * _MOST_RUNS :]
    return len(records), _written(last, kept)


def _spans_of(instance: dg.DagsterInstance, record: dg.RunRecord) -> Iterator[Ended]:
    run = record.dagster_run
    ended = record.end_time or record.update_timestamp.timestamp()
    began = record.start_time or record.create_timestamp.timestamp()
    attributes = {"dagster.run_id": run.run_id, "dagster.job": run.job_name}
    partition = partition_of(run)
    if partition is not None:
        attributes["dagster.partition"] = partition
    # A status alone: what a failure says may quote values.
    failed = "" if run.status is dg.DagsterRunStatus.SUCCESS else run.status.value
    yield Ended(TracedStep(run.run_id), name_of_run(run), began, ended, failed, attributes)
    for step in instance.get_run_step_stats(run.run_id):
        if step.start_time is None:
            continue
        status = step.status.value if step.status else "UNKNOWN"
        yield Ended(
            TracedStep(run.run_id, step.step_key),
            step.step_key,
            step.start_time,
            step.end_time or ended,
            "" if status in {"SUCCESS", "SKIPPED"} else status,
            {**attributes, "dagster.step": step.step_key, "dagster.attempts": step.attempts or 1},
        )


def _written(since: float, told: list[str]) -> str:
    return json.dumps({"since": since, "told": told})


def _read(cursor: str) -> tuple[float, list[str]]:
    kept = json.loads(cursor)
    return float(kept["since"]), list(kept["told"])
