"""What is known of each asset check: an evaluation that crashed leaves nothing known.

Dagster records that an evaluation is planned, and then what it found. One whose run died, raised or
was cancelled stays planned for ever: that is neither passed nor at work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from ft_ops.orchestration.dry_run import only_looks
from ft_ops.orchestration.internals import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from ft_ops.standing import Status

_LOOKED_BACK: Final = 20
"""Evaluations of one check that are read to find the last one that ended."""


@dataclass(frozen=True, slots=True)
class CheckState:
    """What is known of one check.

    ``evaluation`` identifies the evaluation that says so, ``run_id`` its run and ``at`` its moment;
    all are None for one that was never evaluated. ``crashed`` is the run that should have evaluated
    it since and did not; what was bad before stays bad then.
    """

    key: dg.AssetCheckKey
    status: Status
    words: str
    at: datetime | None = None
    run_id: str | None = None
    evaluation: int | None = None
    crashed: dg.DagsterRun | None = None

    @property
    def name(self) -> str:
        return f"{self.key.asset_key.to_user_string()}: {self.key.name}"


def check_states(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]
) -> list[CheckState]:
    """The state of every check, by name. Reads one record a check, some more of those at work."""
    ordered = sorted(keys)
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(ordered)
    return [_state(instance, key, records.get(key)) for key in ordered]


def _state(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, latest: AssetCheckExecutionRecord | None
) -> CheckState:
    if latest is None:
        return CheckState(key, Status.UNKNOWN, "it was never evaluated yet")
    if latest.status != AssetCheckExecutionRecordStatus.PLANNED:
        return _evaluated(key, latest)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=_LOOKED_BACK)
    crashed: dg.DagsterRun | None = None
    removed: str | None = None
    found = CheckState(key, Status.UNKNOWN, "it was never evaluated yet")
    for record in history:
        if record.status != AssetCheckExecutionRecordStatus.PLANNED:
            found = _evaluated(key, record)
            break
        run = instance.get_run_by_id(record.run_id)
        if run is None:
            removed = removed or record.run_id
        elif run.is_finished and not only_looks(run):
            crashed = crashed or run
    if crashed is None and removed is not None:
        return _since(found, f"run {removed}, which was to evaluate it, was removed")
    return _since_crashed(found, crashed) if crashed else found


def _evaluated(key: dg.AssetCheckKey, record: AssetCheckExecutionRecord) -> CheckState:
    evaluation = record.evaluation
    description = (evaluation.description if evaluation is not None else None) or ""
    status = Status.GOOD
    if record.status == AssetCheckExecutionRecordStatus.FAILED:
        is_warning = evaluation is not None and evaluation.severity == dg.AssetCheckSeverity.WARN
        status = Status.WARNING if is_warning else Status.BAD
    return CheckState(
        key,
        status,
        description,
        at=datetime.fromtimestamp(record.create_timestamp, UTC),
        run_id=record.run_id,
        evaluation=record.id,
    )


def _since_crashed(known: CheckState, crashed: dg.DagsterRun) -> CheckState:
    ended = "failed" if crashed.status == dg.DagsterRunStatus.FAILURE else "ended"
    found = _since(known, f"run {crashed.run_id} {ended} without evaluating it")
    return replace(found, run_id=crashed.run_id, crashed=crashed)


def _since(known: CheckState, words: str) -> CheckState:
    """Not known any more; what was bad before stays bad."""
    return replace(
        known,
        status=max(known.status, Status.UNKNOWN),
        words=f"{known.words}; since then {words}" if known.status == Status.BAD else words,
    )
