"""Dagster: its storage, its daemon, and the schedules and sensors that the jobs rely on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from ft_ops.doctor.findings import Finding, failed
from ft_ops.errors import OpsError
from ft_ops.orchestration.upkeep.condition import (
    Daemons,
    DagsterInstance,
    RunStorage,
    automation,
    daemons,
    dagster_instance,
    run_storage,
)

_SEE_TICKS = "open it under Automation in the Dagster UI; its failed tick has the whole error"


def examine_dagster(now: datetime) -> Iterator[Finding]:
    """Storage, daemon, schedules. Makes Dagster's tables where its database is still empty."""
    if not os.environ.get("DAGSTER_HOME"):
        yield Finding(
            "Dagster storage",
            "failed",
            "DAGSTER_HOME is not set, so runs and ticks would go to a temporary folder",
            "set it to the folder that holds dagster.yaml",
        )
        return
    try:
        with _quietly(), dagster_instance() as instance:
            yield _storage(run_storage(instance))
            yield _daemon(daemons(instance), now)
            yield _schedules(instance)
    except OpsError as error:
        yield failed("Dagster storage", error)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what Dagster logs of each time that it tries again."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _storage(storage: RunStorage) -> Finding:
    if storage.revisions is None:
        return Finding(
            "Dagster storage",
            "limited",
            f"{storage.kind}: services on other machines don't see it",
            "copy this project's dagster.yaml to DAGSTER_HOME and set FT_DAGSTER_DATABASE_URL",
        )
    present, newest = storage.revisions
    if present != newest:
        detail = f"its tables are at revision {present}, this Dagster's are at {newest}"
        return Finding("Dagster storage", "failed", detail, "dagster instance migrate")
    if storage.refusal is not None:
        return Finding(
            "Dagster storage",
            "failed",
            f"it takes nothing new, so no run can begin or end: {storage.refusal}",
            "make room on the volume of Dagster's database, or see what else its server says; the "
            "daemon then goes on by itself",
        )
    if not storage.ends_dead_runs:
        return Finding(
            "Dagster storage",
            "failed",
            "run monitoring is off, so a dead run holds its pool for ever",
            "take run_monitoring from this project's dagster.yaml",
        )
    return Finding("Dagster storage", "ok", f"PostgreSQL, revision {present}")


def _daemon(daemons: Daemons, now: datetime) -> Finding:
    if daemons.silent:
        return Finding(
            "Dagster daemon",
            "failed",
            f"no recent heartbeat of {', '.join(daemons.silent)}",
            "start it, or look at its log: dagster-daemon run",
        )
    if daemons.are_doubled:
        return Finding(
            "Dagster daemon",
            "failed",
            "more than one process runs it: ticks are evaluated twice, and runs launched twice",
            "stop all dagster-daemon processes of this instance but one",
        )
    beat = daemons.oldest_heartbeat
    age = 0.0 if beat is None else now.timestamp() - beat
    return Finding("Dagster daemon", "ok", f"{daemons.number} daemons, heartbeat {age:.0f} s ago")


def _schedules(instance: DagsterInstance) -> Finding:
    from ft_ops.definitions import defs

    found = automation(instance, defs)
    if found.stopped:
        return Finding(
            "schedules",
            "failed",
            f"stopped: {', '.join(found.stopped)}",
            "start them under Automation in the Dagster UI; what deletes is switched off by "
            "FT_PURGE_ENABLED and its like, not here",
        )
    if found.failing:
        return Finding(
            "schedules", "failed", f"their last tick failed: {', '.join(found.failing)}", _SEE_TICKS
        )
    number = len(found.names)
    if found.unseen:
        return Finding(
            "schedules",
            "unknown",
            f"the daemon has not seen {len(found.unseen)} of {number} yet: "
            f"{', '.join(found.unseen[:5])}" + (", …" if len(found.unseen) > 5 else ""),
            "start the daemon, or give it some minutes: it switches all of them on",
        )
    return Finding("schedules", "ok", f"all {number} schedules and sensors are switched on")
