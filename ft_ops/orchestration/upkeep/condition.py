"""What condition Dagster itself is in: its storage, its daemons, and what its clock starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import dagster as dg
from dagster import DagsterInstance
from dagster_postgres import PostgresRunStorage
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ft_ops.errors import OpsError
from ft_ops.orchestration.internals import InstigatorState, InstigatorStatus, TickStatus

__all__ = [
    "STORAGE_ERRORS",
    "Automation",
    "Daemons",
    "DagsterInstance",
    "RunStorage",
    "automation",
    "daemons",
    "daemons_are_doubled",
    "dagster_instance",
    "run_storage",
    "unreachable",
]

STORAGE_ERRORS = (DagsterPostgresException, SQLAlchemyError)
"""What Dagster raises where its database can't be reached."""
_SOMETHING_NEW = (
    "CREATE TEMPORARY TABLE ft_ops_probe ON COMMIT DROP AS"
    " SELECT repeat('x', 1000) AS line FROM generate_series(1, 1000)"
)
"""A megabyte: each page is one more of a file of the database."""
_UNSET = re.compile(r'environment variable "\w+" which is not set')
_UNREACHABLE = (dg.DagsterError, *STORAGE_ERRORS, OSError)


@dataclass(frozen=True, slots=True)
class RunStorage:
    """Where runs are kept: the class that does it, and the revision of its tables.

    ``revisions`` are the one that is there and the newest one, None where it is not PostgreSQL.
    ``ends_dead_runs``: Dagster looks for runs whose process has died. ``refusal`` is why its
    database takes nothing new, None where it does.
    """

    kind: str
    revisions: tuple[object, object] | None
    ends_dead_runs: bool
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Daemons:
    """How many daemons there are, those without a recent heartbeat, and the oldest heartbeat.

    ``oldest_heartbeat`` is in seconds since 1970, None before the first one. ``are_doubled`` when
    two processes run them.
    """

    number: int
    silent: tuple[str, ...]
    oldest_heartbeat: float | None
    are_doubled: bool


@dataclass(frozen=True, slots=True)
class Automation:
    """Schedules and sensors by name: all of them, and those that do not run as they should.

    ``unseen``: the daemon has not switched them on yet.
    """

    names: frozenset[str]
    stopped: tuple[str, ...]
    failing: tuple[str, ...]
    unseen: tuple[str, ...]


@contextmanager
def dagster_instance() -> Iterator[DagsterInstance]:
    """The instance of DAGSTER_HOME for a block; an OpsError where it can't be asked.

    Makes Dagster's tables where its database is still empty.
    """
    try:
        with DagsterInstance.get() as instance:
            yield instance
    except _UNREACHABLE as error:
        raise unreachable(error) from error


def unreachable(error: BaseException) -> OpsError:
    """The OpsError for an error of Dagster's instance: Dagster itself says how often it tried."""
    while isinstance(error, STORAGE_ERRORS) and error.__cause__ is not None:
        error = error.__cause__
    # What Dagster says of a configuration is a page long; what matters in it is a sentence.
    unset = _UNSET.search(str(error))
    return OpsError(
        "Dagster storage",
        cause=unset[0] if unset else str(error).strip().splitlines()[0],
        next_step="check dagster.yaml in DAGSTER_HOME, and that FT_DAGSTER_DATABASE_URL names "
        "a running database as postgresql+psycopg2://…",
    )


def run_storage(instance: DagsterInstance) -> RunStorage:
    """Where the instance keeps its runs."""
    storage = instance.run_storage
    return RunStorage(
        type(storage).__name__,
        storage.alembic_version() if isinstance(storage, PostgresRunStorage) else None,
        instance.run_monitoring_enabled,
        _refusal(storage) if isinstance(storage, PostgresRunStorage) else None,
    )


def _refusal(storage: PostgresRunStorage) -> str | None:
    """Why the database takes nothing new: found by writing, into a table that goes at once.

    On a full disk reading works, and so do small changes: the daemon's heartbeat goes on, while no
    tick and no event of a run can be kept.
    """
    try:
        with storage.connect() as connection:
            connection.execute(text(_SOMETHING_NEW))
            connection.rollback()
    except SQLAlchemyError as error:
        return str(getattr(error, "orig", error)).strip().splitlines()[0]
    return None


def daemons(instance: DagsterInstance) -> Daemons:
    """Which daemons the instance has, and when they were last alive."""
    statuses = instance.get_daemon_statuses()
    beats = [s.last_heartbeat.timestamp for s in statuses.values() if s.last_heartbeat]
    silent = sorted(name for name, status in statuses.items() if not status.healthy)
    return Daemons(
        len(statuses), tuple(silent), min(beats, default=None), daemons_are_doubled(instance)
    )


def daemons_are_doubled(instance: DagsterInstance) -> bool:
    """Whether two processes run the daemons: each tick may then be evaluated twice.

    All daemons of a process beat under its id, and of each the newest beat is kept. After a restart
    every beat of the new id is later than every one of the old; two that live beat in turns.
    """
    beats: dict[str, list[float]] = {}
    for beat in instance.get_daemon_heartbeats().values():
        if beat.daemon_id is not None:
            beats.setdefault(beat.daemon_id, []).append(beat.timestamp)
    spans = sorted((min(moments), max(moments)) for moments in beats.values())
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def automation(instance: DagsterInstance, definitions: dg.Definitions) -> Automation:
    """How the schedules and sensors of ``definitions`` stand."""
    names = frozenset(
        item.name
        for item in (*(definitions.schedules or ()), *(definitions.sensors or ()))
        if isinstance(item, dg.ScheduleDefinition | dg.SensorDefinition)
    )
    states = [state for state in instance.all_instigator_state() if state.name in names]
    stopped = sorted(s.name for s in states if s.status == InstigatorStatus.STOPPED)
    failing = sorted(s.name for s in states if _last_tick_failed(instance, s))
    unseen = sorted(names - {state.name for state in states})
    return Automation(names, tuple(stopped), tuple(failing), tuple(unseen))


def _last_tick_failed(instance: DagsterInstance, state: InstigatorState) -> bool:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    return any(tick.status == TickStatus.FAILURE for tick in ticks)
