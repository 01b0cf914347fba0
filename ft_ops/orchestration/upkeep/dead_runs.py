"""Ends runs whose process is gone, and frees the slots of the pools that they hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import dagster as dg

from ft_ops.orchestration.upkeep.alive import WATCHED_IN_TAG, WATCHED_TAG

LOOKS: Final = 3
"""So often in a row a run must be found silent."""
SILENT_SECONDS: Final = 150.0
"""And for so long. A living process takes its lock again within half a minute after a cut."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Since when a run was found silent, in seconds since 1970, and how often in a row."""

    since: float
    looks: int


def end_dead_runs_of(
    instance: dg.DagsterInstance,
    silent: Callable[[Collection[str]], Collection[str]],
    known: Mapping[str, Silence],
    now: float,
    database: str | None,
) -> tuple[list[str], dict[str, Silence]]:
    """End the runs that were silent long enough; which ones, and what is known of the others.

    ``silent`` tells which of some runs say nothing now in ``database``. Only a look that had an
    answer counts, and nothing is known of a run that says in another database that it lives.
    """
    started = [
        run
        for run in instance.get_runs(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={WATCHED_TAG: "true"})
        )
        if (run.tags.get(WATCHED_IN_TAG) or database) == database
    ]
    quiet = set(silent([run.run_id for run in started])) if started else set()
    ended, kept = [], {}
    for run in started:
        if run.run_id not in quiet:
            continue
        before = known.get(run.run_id, Silence(now, 0))
        if before.since > now:
            before = Silence(now, 0)  # by a clock that was ahead
        seen = Silence(before.since, before.looks + 1)
        if seen.looks >= LOOKS and now - seen.since >= SILENT_SECONDS:
            _end(instance, run)
            ended.append(run.run_id)
        else:
            kept[run.run_id] = seen
    return ended, kept


def silences_from_json(text: str | None) -> dict[str, Silence]:
    """What an earlier look has left; nothing when there was none."""
    return {run_id: Silence(**fields) for run_id, fields in json.loads(text or "{}").items()}


def silences_to_json(silences: Mapping[str, Silence]) -> str:
    """What the next look needs to know."""
    return json.dumps({run_id: asdict(silence) for run_id, silence in silences.items()})


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    current = instance.get_run_by_id(run.run_id)
    if current is None or current.status != dg.DagsterRunStatus.STARTED:
        return
    instance.report_run_failed(
        current,
        "its process is gone, without having said how it ended; what it had begun is finished by "
        "the next run",
    )
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
