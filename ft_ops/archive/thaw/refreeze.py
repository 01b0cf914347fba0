"""Takes a thawed month out of the database again when its time to live is over.

Unchanged, it only has to go: the archive still has it. Changed, it becomes the month's next
generation, and lives the whole cycle again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from ft_ops.archive.month.content import ARCHIVED, archived_name, live_columns, live_source
from ft_ops.archive.month.digest import differences, month_digests, total
from ft_ops.archive.month.ledger import Generation
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.move.detach import detach_month
from ft_ops.archive.purge.gates import Gate, PurgeRules, refreeze_gates
from ft_ops.archive.purge.purge import keep_remainder
from ft_ops.archive.purge.remove import remove_content
from ft_ops.archive.purge.settle import Removal, settle
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.thaw.ledger import (
    Thaw,
    enter_thaw,
    generations_of,
    record_refrozen_bucket,
    thawed_relation,
)
from ft_ops.clock import utc_now
from ft_ops.errors import Refused
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Refreeze:
    """What became of a thawed month: segments removed, or the generation that replaces it."""

    thaw: Thaw
    segments: int
    next: Generation | None


def plan_refreeze(
    connection: Connection, bucket: Bucket, thaw: Thaw, rules: PurgeRules, now: datetime
) -> list[Gate]:
    """What must hold before thawed rows are removed; changes nothing."""
    return refreeze_gates(connection, bucket, generations_of(connection, thaw), rules, now)


def refreeze(
    connection: Connection,
    bucket: Bucket,
    thaw: Thaw,
    rules: PurgeRules,
    throttle: Throttle,
    *,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], datetime] = utc_now,
) -> Refreeze:
    """End a thaw; goes on with one that a dead run was ending. Refused while a gate is closed."""
    gates = plan_refreeze(connection, bucket, thaw, rules, clock())
    closed = [gate for gate in gates if not gate.passed]
    if thaw.state not in {"thawed", "refreezing"} or closed:
        raise Refused(
            f"refreeze of {thaw.name}",
            cause="; ".join(f"{gate.name}: {gate.detail}" for gate in closed)
            or f"its state is {thaw.state}",
            next_step="nothing was removed; open these gates first",
        )
    if thaw.state == "thawed":
        changes = _changes(connection, thaw)
        if changes:
            log(f"changed while it was thawed: {'; '.join(changes)}")
            return _next_generation(connection, thaw, run_id)
        thaw = enter_thaw(connection, thaw, "refreezing")
    return _remove(connection, thaw, throttle, run_id=run_id, log=log, sleep=sleep)


def _changes(connection: Connection, thaw: Thaw) -> list[str]:
    source = live_source(thawed_relation(connection, thaw).identifier)
    found = month_digests(connection, source, live_columns(connection))
    return differences(thaw.require_digests(), found)


def _next_generation(connection: Connection, thaw: Thaw, run_id: str) -> Refreeze:
    with connection.transaction():
        table = thawed_relation(connection, thaw)
        following = keep_remainder(connection, thaw.month, table, run_id)
        return Refreeze(_done(connection, thaw, following), 0, following)


def _remove(
    connection: Connection,
    thaw: Thaw,
    throttle: Throttle,
    *,
    run_id: str,
    log: Callable[[str], None],
    sleep: Callable[[float], None],
) -> Refreeze:
    table = thawed_relation(connection, thaw)
    detach_month(connection, ARCHIVED, thaw.month, log=log, sleep=sleep)
    removed = remove_content(
        connection,
        thaw.month,
        table.identifier,
        thaw.require_digests(),
        thaw.purged_buckets,
        lambda bucket: record_refrozen_bucket(connection, thaw, bucket),
        throttle,
        log=log,
        sleep=sleep,
    )
    loaded = thaw.require_digests()["content_segments"]
    announced = total({b: digest for b, digest in loaded.items() if b in removed.buckets}).rows

    def close(remainder: Relation | None) -> Refreeze:
        following = (
            None if remainder is None else keep_remainder(connection, thaw.month, remainder, run_id)
        )
        return Refreeze(_done(connection, thaw, following), removed.segments, following)

    return settle(
        connection,
        Removal(thaw.month, table, removed.buckets, announced),
        close,
        sleep=sleep,
    )


def _done(connection: Connection, thaw: Thaw, following: Generation | None) -> Thaw:
    connection.execute(statement("archive/forget_waiting_links"), {"month": thaw.month.first_day})
    write_audit(
        connection,
        "archive.refreeze",
        archived_name(thaw.month),
        {
            "month": str(thaw.month),
            "thaw": thaw.id,
            "next_generation": following.number if following else None,
        },
    )
    return enter_thaw(connection, thaw, "done", done_at=sql.SQL("clock_timestamp()"))
