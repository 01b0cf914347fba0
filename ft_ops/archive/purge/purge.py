"""Removes a proven month from the database, in small steps, each proven again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ft_ops.archive.month.content import ARCHIVED, archived_name, live_columns
from ft_ops.archive.month.digest import BUCKETS, differences, month_digests, total
from ft_ops.archive.month.ledger import (
    Generation,
    begin_generation,
    enter,
    finish,
    month_source,
    record_purged_bucket,
    record_relation,
)
from ft_ops.archive.month.relation import Relation, require_archived
from ft_ops.archive.move.detach import detach_month
from ft_ops.archive.purge.gates import Gate, PurgeRules, purge_gates
from ft_ops.archive.purge.remove import Removed, only_buckets, remove_content
from ft_ops.archive.purge.settle import Removal, settle
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import FULL_SPEED, Pace
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
    table = require_archived(connection, month, generation.relation, what=f"purge of {month}")
    generation = record_relation(connection, generation, table.recorded)
    detach_month(connection, ARCHIVED, month, log=log, sleep=sleep)
    removed = remove_content(
        connection,
        month,
        table.identifier,
        generation.remaining_digests(),
        generation.purged_buckets,
        lambda bucket: record_purged_bucket(connection, generation, bucket),
        throttle,
        log=log,
        sleep=sleep,
    )
    proven = generation.require_digests()["content_segments"]
    announced = total({b: digest for b, digest in proven.items() if b in removed.buckets}).rows
    return settle(
        connection,
        Removal(month, table, removed.buckets, announced),
        lambda remainder: _close(connection, generation, removed, remainder, run_id),
        sleep=sleep,
    )


def _changes(connection: Connection, generation: Generation, pace: Pace) -> list[str]:
    """How the month differs from its proof, in the buckets that no purge has removed yet.

    In no one snapshot: a row that is changed meanwhile is missed or counted twice, and differs.
    """
    columns = live_columns(connection)
    found = month_digests(connection, month_source(connection, generation), columns, pace)
    left = frozenset(range(BUCKETS)) - generation.purged_buckets
    return differences(
        only_buckets(generation.remaining_digests(), left), only_buckets(found, left)
    )


def keep_remainder(
    connection: Connection, month: Month, remainder: Relation, run_id: str
) -> Generation:
    """Record the rows that a removal left as the month's next generation."""
    following = begin_generation(connection, month, "archiving", run_id)
    following = record_relation(connection, following, remainder.recorded)
    return finish(connection, following, "archived")


def _close(
    connection: Connection,
    generation: Generation,
    removed: Removed,
    remainder: Relation | None,
    run_id: str,
) -> Purge:
    """Record the end of a purge, in the transaction that drops the table or replaces it."""
    _audit(connection, generation, removed, run_id)
    purged = finish(connection, generation, "purged")
    if remainder is None:
        return Purge(purged, removed.segments, 0, None)
    following = keep_remainder(connection, generation.month, remainder, run_id)
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
