"""Moves a month from content_segments to archived_content_segments by DETACH and ATTACH.

No row is copied. A dead predecessor leaves the month in one of three shapes, and each of them is
where this one goes on: attached and about to be detached, pending detach, or detached. Which table
that is, the ledger knows since before the detach.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from ft_ops.archive.month.content import ARCHIVED, HOT, hot_name
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import (
    begin_generation,
    finish,
    in_database,
    latest,
    record_relation,
)
from ft_ops.archive.month.relation import (
    Relation,
    attached_relation,
    named_relation,
    recorded_relation,
)
from ft_ops.archive.move.align import aligned
from ft_ops.archive.move.detach import (
    Erased,
    attach_alone,
    detach_month,
    forget_erased,
    rename_archived,
)
from ft_ops.archive.move.late_rows import late_rows_wait_for
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.locks import with_escalating_lock_timeout


@dataclass(frozen=True, slots=True)
class Move:
    """What moving a month did; ``erased`` is what threads that were deleted meanwhile had left."""

    generation: Generation
    moved: bool
    erased: Erased


def move_month(run: Run, month: Month) -> Move:
    """Take a month out of content_segments and into archived_content_segments.

    Refused when the database has nothing of that month, and while an earlier generation of it is
    in the database or asked back: late rows then stay where they are. The caller holds the month's
    advisory lock.
    """
    begun = in_database(run.connection, month)
    if begun is not None and begun.state == "archiving":
        table = _begun(run, begun)
        generation = record_relation(run.connection, begun, table.recorded)
    else:
        attached = attached_relation(run.connection, HOT, month)
        if attached is None:
            return _nothing_to_move(run, month)
        table = attached
        generation = _open_generation(run, month, table)
    if table.parent == HOT:
        write_audit(run.connection, "archive.detach", table.name, {"month": str(month)})
        detach_month(run.connection, HOT, month, log=run.log, sleep=run.sleep)
    return _attach(run, generation, table)


def _begun(run: Run, generation: Generation) -> Relation:
    """The table that a dead run was moving; Refused when it can't be told which one that was."""
    what = f"archive of {generation.month}"
    if generation.relation is not None:
        table = recorded_relation(run.connection, what, generation.relation)
    else:
        # Begun before the ledger recorded tables.
        name = hot_name(generation.month)
        found = attached_relation(run.connection, HOT, generation.month)
        found = found or named_relation(run.connection, name)
        if found is None:
            raise Refused(
                what,
                cause="a run has begun to move it and has died, and neither is it attached to "
                f"{HOT} nor is there a table {name}",
                next_step=f"look for its table under another name, rename it to {name}, and run "
                "again",
            )
        table = found
    if table.parent not in {HOT, None}:
        raise Refused(
            what,
            cause=f"{table.qualified}, which was being moved, is attached to {table.parent}",
            next_step=f"find out who attached it; detach it from {table.parent}, and run again",
        )
    return table


def _nothing_to_move(run: Run, month: Month) -> Move:
    if named_relation(run.connection, hot_name(month)) is not None:
        raise Refused(
            f"archive of {month}",
            cause=f"{hot_name(month)} stands alone, and no archive run detached it",
            next_step=f"see what it holds; attach it to {HOT} as {month}, or rename it",
        )
    newest = in_database(run.connection, month) or latest(run.connection, month)
    if newest is None:
        raise Refused(
            f"archive of {month}",
            cause=f"{HOT} has no partition of that month, and nothing was archived",
            next_step="check the month; partitions are listed by the coverage check",
        )
    return Move(newest, moved=False, erased=Erased(0, 0))


def _open_generation(run: Run, month: Month, table: Relation) -> Generation:
    """Record which table is moved, before anything is done to it."""
    _refuse_waiting(run, month, table)
    with run.connection.transaction():
        generation = begin_generation(run.connection, month, run.run_id)
        return record_relation(run.connection, generation, table.recorded)


def _refuse_waiting(run: Run, month: Month, table: Relation) -> None:
    waits_for = late_rows_wait_for(run.connection, month)
    if waits_for is not None:
        raise Refused(
            f"archive of {month}",
            cause=f"late rows wait in {table.name}, and {waits_for}",
            next_step="wait until that has ended; then the late rows become the next generation",
        )


def _attach(run: Run, generation: Generation, table: Relation) -> Move:
    """Rename the detached table, attach it to the archive and record it: one transaction."""
    month = generation.month
    what = f"attach of {table.qualified} to {ARCHIVED}"
    following = aligned(run, month, table, what)
    if following.oid != table.oid:
        generation = record_relation(run.connection, generation, following.recorded)

    def attach() -> Move:
        with run.connection.transaction():
            # It reads all rows: before the rename, whose lock keeps their threads from deletion.
            erased = forget_erased(run.connection, month, following)
            archived = rename_archived(run.connection, month, following)
            attach_alone(run.connection, month, archived)
            write_audit(
                run.connection,
                "archive.attach",
                archived.name,
                {
                    "month": str(month),
                    "generation": generation.number,
                    "was": table.qualified,
                    "erased_rows": erased.rows,
                    "erased_keys": erased.keys,
                    "held": erased.held,
                },
            )
            recorded = record_relation(run.connection, generation, archived.recorded)
            moved = finish(run.connection, recorded, "archived")
            return Move(moved, moved=True, erased=erased)

    try:
        return with_escalating_lock_timeout(run.connection, what, attach, sleep=run.sleep)
    except psycopg.errors.DuplicateTable as error:
        raise Refused(
            f"archive of {month}",
            cause=str(error).strip(),
            next_step=f"compare {table.qualified} with it; both hold this month",
        ) from error
