"""Moves a month from content_segments to archived_content_segments by DETACH and ATTACH.

No row is copied. A dead predecessor leaves the month in one of three shapes, and each of them is
where this one goes on: attached and about to be detached, pending detach, or detached. Which table
that is, the ledger knows since before the detach.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from ft_ops.archive.month.content import ARCHIVED, HOT, hot_name
from ft_ops.archive.month.ledger import (
    Generation,
    begin_generation,
    finish,
    latest,
    record_relation,
)
from ft_ops.archive.month.relation import (
    Relation,
    attached_relation,
    named_relation,
    recorded_relation,
)
from ft_ops.archive.move.detach import Erased, attach_archived, detach_month, rename_archived
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout


@dataclass(frozen=True, slots=True)
class Move:
    """What moving a month did; ``erased`` is what threads that were deleted meanwhile had left."""

    generation: Generation
    moved: bool
    erased: Erased


def move_month(
    connection: Connection,
    month: Month,
    *,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Move:
    """Take a month out of content_segments and into archived_content_segments.

    Refused when the database has nothing of that month, and when an earlier generation of it has
    not been purged: late rows then stay where they are until it has. The caller holds the month's
    advisory lock.
    """
    newest = latest(connection, month)
    if newest is not None and newest.state == "archiving":
        table = _begun(connection, newest)
        generation = record_relation(connection, newest, table.recorded)
    else:
        attached = attached_relation(connection, HOT, month)
        if attached is None:
            return _nothing_to_move(connection, month, newest)
        table = attached
        generation = _open_generation(connection, month, newest, table, run_id)
    if table.parent == HOT:
        write_audit(connection, "archive.detach", table.name, {"month": str(month)})
        detach_month(connection, HOT, month, log=log, sleep=sleep)
    return _attach(connection, generation, table, sleep=sleep)


def _begun(connection: Connection, generation: Generation) -> Relation:
    """The table that a dead run was moving; Refused when it can't be told which one that was."""
    what = f"archive of {generation.month}"
    if generation.relation is not None:
        table = recorded_relation(connection, what, generation.relation)
    else:
        # Begun before the ledger recorded tables.
        found = attached_relation(connection, HOT, generation.month) or named_relation(
            connection, hot_name(generation.month)
        )
        if found is None:
            raise Refused(
                what,
                cause=f"a run has begun to move it and has died, and neither is it attached to "
                f"{HOT} nor is there a table {hot_name(generation.month)}",
                next_step="look for its table under another name, rename it to "
                f"{hot_name(generation.month)}, and run again",
            )
        table = found
    if table.parent not in {HOT, None}:
        raise Refused(
            what,
            cause=f"{table.qualified}, which was being moved, is attached to {table.parent}",
            next_step=f"find out who attached it; detach it from {table.parent}, and run again",
        )
    return table


def _nothing_to_move(connection: Connection, month: Month, newest: Generation | None) -> Move:
    if named_relation(connection, hot_name(month)) is not None:
        raise Refused(
            f"archive of {month}",
            cause=f"{hot_name(month)} stands alone, and no archive run detached it",
            next_step=f"see what it holds; attach it to {HOT} as {month}, or rename it",
        )
    if newest is None:
        raise Refused(
            f"archive of {month}",
            cause=f"{HOT} has no partition of that month, and nothing was archived",
            next_step="check the month; partitions are listed by the coverage check",
        )
    return Move(newest, moved=False, erased=Erased(0, 0))


def _open_generation(
    connection: Connection, month: Month, newest: Generation | None, table: Relation, run_id: str
) -> Generation:
    """Record which table is moved, before anything is done to it."""
    if newest is not None and attached_relation(connection, ARCHIVED, month) is not None:
        raise Refused(
            f"archive of {month}",
            cause=f"late rows wait in {table.name}, and {newest.name} is still in the "
            f"database, {newest.state}",
            next_step="let that generation be purged; then the late rows become the next one",
        )
    with connection.transaction():
        generation = begin_generation(connection, month, "archiving", run_id)
        return record_relation(connection, generation, table.recorded)


def _attach(
    connection: Connection,
    generation: Generation,
    table: Relation,
    *,
    sleep: Callable[[float], None],
) -> Move:
    """Rename the detached table, attach it to the archive and record it: one transaction."""
    month = generation.month

    def attach() -> Move:
        with connection.transaction():
            archived = rename_archived(connection, month, table)
            erased = attach_archived(connection, month, archived)
            write_audit(
                connection,
                "archive.attach",
                archived.name,
                {
                    "month": str(month),
                    "generation": generation.number,
                    "was": table.qualified,
                    "erased_rows": erased.rows,
                    "erased_keys": erased.keys,
                },
            )
            moved = finish(
                connection,
                record_relation(connection, generation, archived.recorded),
                "archived",
            )
            return Move(moved, moved=True, erased=erased)

    try:
        return with_escalating_lock_timeout(
            connection, f"attach of {table.qualified} to {ARCHIVED}", attach, sleep=sleep
        )
    except psycopg.errors.DuplicateTable as error:
        raise Refused(
            f"archive of {month}",
            cause=str(error).strip(),
            next_step=f"compare {table.qualified} with it; both hold this month",
        ) from error
