"""Removes a proven month from the database, in small steps, each proven again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg import sql

from ft_ops.archive.month.content import ARCHIVED, archived_name, live_columns, live_source
from ft_ops.archive.month.digest import BUCKETS, differences, month_digests
from ft_ops.archive.month.ledger import (
    Generation,
    begin_generation,
    enter,
    finish,
    record_purged_bucket,
)
from ft_ops.archive.move.detach import attach_archived, detach_month
from ft_ops.archive.purge.gates import Gate, PurgeRules, purge_gates
from ft_ops.archive.purge.remove import Removed, only_buckets, remove_content
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.catalog import table_exists
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What a purge would do, and every gate. ``changed`` names what differs from the proof."""

    generation: Generation
    gates: tuple[Gate, ...]
    changed: tuple[str, ...]

    @property
    def refusals(self) -> list[str]:
        return [f"{gate.name}: {gate.detail}" for gate in self.gates if not gate.passed]

    @property
    def decision(self) -> Literal["refuse", "export again", "purge"]:
        if self.refusals:
            return "refuse"
        # A purge that was begun is ended: what changed meanwhile stays, batch by batch.
        if self.changed and self.generation.state != "purging":
            return "export again"
        return "purge"


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge did. Segments that changed meanwhile are ``kept``, as generation ``next``."""

    generation: Generation
    segments: int
    kept: int
    next: Generation | None


def plan_purge(
    connection: Connection,
    bucket: Bucket,
    generation: Generation,
    rules: PurgeRules,
    now: datetime,
    pace: Pace = FULL_SPEED,
) -> PurgePlan:
    """Evaluate every gate, and compare the month's digest with the proven one; changes nothing."""
    gates = tuple(purge_gates(connection, bucket, generation, rules, now))
    if not all(gate.passed for gate in gates):
        return PurgePlan(generation, gates, ())
    return PurgePlan(generation, gates, tuple(_changes(connection, generation, pace)))


def purge_month(
    connection: Connection,
    plan: PurgePlan,
    throttle: Throttle,
    *,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Purge:
    """Carry out a plan whose decision is to purge.

    The month is detached first, so that nobody edits it; then its keys go in batches, and their
    cascade takes narrations, tags and links; at last the table is dropped.
    """
    if plan.decision != "purge":
        raise Refused(
            f"purge of {plan.generation.name}",
            cause="; ".join([*plan.refusals, *plan.changed]),
            next_step="open these gates first; nothing was removed",
        )
    generation = enter(connection, plan.generation, "purging", run_id)
    month = generation.month
    write_audit(
        connection,
        "archive.purge.begin",
        archived_name(month),
        {"month": str(month), "generation": generation.number, "run": run_id},
    )
    detach_month(connection, ARCHIVED, month, log=log, sleep=sleep)
    removed = Removed(0, 0)
    if table_exists(connection, archived_name(month)):
        removed = remove_content(
            connection,
            month,
            generation.remaining_digests(),
            generation.purged_buckets,
            lambda bucket: record_purged_bucket(connection, generation, bucket),
            throttle,
            log=log,
            sleep=sleep,
        )
    settle = _keep if removed.kept else _drop
    return with_escalating_lock_timeout(
        connection,
        f"end of the purge of {generation.name}",
        lambda: settle(connection, generation, removed, run_id),
        sleep=sleep,
    )


def _changes(connection: Connection, generation: Generation, pace: Pace) -> list[str]:
    """How the month differs from its proof, in the buckets that no purge has removed yet.

    In no one snapshot: a row that is changed meanwhile is missed or counted twice, and differs.
    """
    if not table_exists(connection, archived_name(generation.month)):
        return [f"{archived_name(generation.month)} does not exist"]
    columns = live_columns(connection)
    found = month_digests(connection, live_source(generation.month), columns, pace)
    left = frozenset(range(BUCKETS)) - generation.purged_buckets
    return differences(
        only_buckets(generation.remaining_digests(), left), only_buckets(found, left)
    )


def _drop(connection: Connection, generation: Generation, removed: Removed, run_id: str) -> Purge:
    """Drop the emptied table and record it, in one transaction."""
    table = archived_name(generation.month)
    with connection.transaction():
        connection.execute(statement("archive/drop_purged").format(table=sql.Identifier(table)))
        _audit(connection, generation, removed, run_id)
        return Purge(finish(connection, generation, "purged"), removed.segments, 0, None)


def keep_remainder(connection: Connection, month: Month, run_id: str) -> Generation:
    """Attach the rows that a removal left, as the month's next generation.

    Inside the caller's transaction; the rows whose keys are gone are dropped from the table.
    """
    connection.execute(
        statement("archive/delete_purged_rows").format(table=sql.Identifier(archived_name(month)))
    )
    attach_archived(connection, month)
    return finish(connection, begin_generation(connection, month, "archiving", run_id), "archived")


def _keep(connection: Connection, generation: Generation, removed: Removed, run_id: str) -> Purge:
    """Attach what stays of the table as the next generation, in one transaction."""
    with connection.transaction():
        _audit(connection, generation, removed, run_id)
        purged = finish(connection, generation, "purged")
        following = keep_remainder(connection, generation.month, run_id)
        return Purge(purged, removed.segments, removed.kept, following)


def _audit(connection: Connection, generation: Generation, removed: Removed, run_id: str) -> None:
    write_audit(
        connection,
        "archive.purge",
        archived_name(generation.month),
        {
            "month": str(generation.month),
            "generation": generation.number,
            "segments": removed.segments,
            "kept": removed.kept,
            "run": run_id,
        },
    )
