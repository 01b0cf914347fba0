"""Dagster: its storage, its daemon, and the schedules and sensors that the jobs rely on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime

import dagster as dg
from dagster_postgres import PostgresRunStorage
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import SQLAlchemyError

from ft_ops.doctor.findings import Finding
from ft_ops.orchestration.internals import InstigatorState, InstigatorStatus, TickStatus

_UNREACHABLE = (dg.DagsterError, DagsterPostgresException, SQLAlchemyError, OSError)

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
        with dg.DagsterInstance.get() as instance:
            yield _storage(instance)
            yield _daemon(instance, now)
            yield _schedules(instance)
    except _UNREACHABLE as error:
        yield Finding(
            "Dagster storage",
            "failed",
            str(error).strip().splitlines()[0],
            "check dagster.yaml in DAGSTER_HOME, and that FT_DAGSTER_DATABASE_URL names a running "
            "database as postgresql+psycopg2://…",
        )


def _storage(instance: dg.DagsterInstance) -> Finding:
    storage = instance.run_storage
    if not isinstance(storage, PostgresRunStorage):
        return Finding(
            "Dagster storage",
            "limited",
            f"{type(storage).__name__}: services on other machines don't see it",
            "copy this project's dagster.yaml to DAGSTER_HOME and set FT_DAGSTER_DATABASE_URL",
        )
    present, newest = storage.alembic_version()
    if present != newest:
        detail = f"its tables are at revision {present}, this Dagster's are at {newest}"
        return Finding("Dagster storage", "failed", detail, "dagster instance migrate")
    if not instance.run_monitoring_enabled:
        return Finding(
            "Dagster storage",
            "failed",
            "run monitoring is off, so a dead run holds its pool for ever",
            "take run_monitoring from this project's dagster.yaml",
        )
    return Finding("Dagster storage", "ok", f"PostgreSQL, revision {present}")


def _daemon(instance: dg.DagsterInstance, now: datetime) -> Finding:
    statuses = instance.get_daemon_statuses()
    silent = sorted(name for name, status in statuses.items() if not status.healthy)
    if silent:
        return Finding(
            "Dagster daemon",
            "failed",
            f"no recent heartbeat of {', '.join(silent)}",
            "start it, or look at its log: dagster-daemon run",
        )
    beats = [s.last_heartbeat.timestamp for s in statuses.values() if s.last_heartbeat]
    age = now.timestamp() - min(beats, default=now.timestamp())
    return Finding("Dagster daemon", "ok", f"{len(statuses)} daemons, heartbeat {age:.0f} s ago")


def _schedules(instance: dg.DagsterInstance) -> Finding:
    from ft_ops.definitions import defs

    wanted = {
        i.name
        for i in (*(defs.schedules or ()), *(defs.sensors or ()))
        if isinstance(i, dg.ScheduleDefinition | dg.SensorDefinition)
    }
    states = [state for state in instance.all_instigator_state() if state.name in wanted]
    stopped = sorted(s.name for s in states if s.status == InstigatorStatus.STOPPED)
    if stopped:
        return Finding(
            "schedules",
            "failed",
            f"stopped: {', '.join(stopped)}",
            "start them under Automation in the Dagster UI; what deletes is switched off by "
            "FT_PURGE_ENABLED and its like, not here",
        )
    failing = sorted(s.name for s in states if _last_tick_failed(instance, s))
    if failing:
        return Finding(
            "schedules", "failed", f"their last tick failed: {', '.join(failing)}", _SEE_TICKS
        )
    unseen = sorted(wanted - {state.name for state in states})
    if unseen:
        return Finding(
            "schedules",
            "unknown",
            f"the daemon has not seen {len(unseen)} of {len(wanted)} yet: {', '.join(unseen[:5])}"
            + (", …" if len(unseen) > 5 else ""),
            "start the daemon, or give it some minutes: it switches all of them on",
        )
    return Finding("schedules", "ok", f"all {len(wanted)} schedules and sensors are switched on")


def _last_tick_failed(instance: dg.DagsterInstance, state: InstigatorState) -> bool:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    return any(tick.status == TickStatus.FAILURE for tick in ticks)
