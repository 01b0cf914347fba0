"""Moves a month from content_segments to archived_content_segments by DETACH and ATTACH.

No row is copied. A dead predecessor leaves the month in one of three shapes, and each of them is
where this one goes on: attached and about to be detached, pending detach, or detached.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ft_ops.archive.month.content import ARCHIVED, HOT, archived_name, hot_name
from ft_ops.archive.month.ledger import Generation, begin_generation, finish, latest
from ft_ops.archive.move.detach import attach_archived, detach_month, partition_of
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.catalog import table_exists
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Move:
    """What moving a month did. ``orphans`` are rows whose thread was deleted meanwhile."""

    generation: Generation
    moved: bool
    orphans: int
    stray_keys: int


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
    hot = partition_of(connection, HOT, month)
    generation = latest(connection, month)
    if hot is None and not table_exists(connection, hot_name(month)):
        if generation is None:
            raise Refused(
                f"archive of {month}",
                cause=f"{HOT} has no partition of that month, and nothing was archived",
                next_step="check the month; partitions are listed by the coverage check",
            )
        return Move(generation, moved=False, orphans=0, stray_keys=0)
    if hot is None and (generation is None or generation.state != "archiving"):
        raise Refused(
            f"archive of {month}",
            cause=f"{hot_name(month)} stands alone, and no archive run detached it",
            next_step=f"see what it holds; attach it to {HOT} as {month}, or rename it",
        )
    generation = _open_generation(connection, month, generation, run_id)
    table = hot.name if hot is not None else hot_name(month)
    if hot is not None:
        write_audit(connection, "archive.detach", table, {"month": str(month)})
        detach_month(connection, HOT, month, log=log, sleep=sleep)
    return _attach(connection, generation, table, sleep=sleep)


def _open_generation(
    connection: Connection, month: Month, newest: Generation | None, run_id: str
) -> Generation:
    if newest is not None and newest.state == "archiving":
        return newest
    if newest is not None and partition_of(connection, ARCHIVED, month) is not None:
        raise Refused(
            f"archive of {month}",
            cause=f"late rows wait in {hot_name(month)}, and {newest.name} is still in the "
            f"database, {newest.state}",
            next_step="let that generation be purged; then the late rows become the next one",
        )
    return begin_generation(connection, month, "archiving", run_id)


def _attach(
    connection: Connection,
    generation: Generation,
    table: str,
    *,
    sleep: Callable[[float], None],
) -> Move:
    """Rename the detached table, attach it to the archive and record it: one transaction."""
    month = generation.month
    archived = archived_name(month)

    def attach() -> Move:
        with connection.transaction():
            connection.execute(
                statement("archive/rename").format(
                    table=sql.Identifier(table), archived=sql.Identifier(archived)
                )
            )
            orphans, stray_keys = attach_archived(connection, month)
            write_audit(
                connection,
                "archive.attach",
                archived,
                {
                    "month": str(month),
                    "generation": generation.number,
                    "orphans": orphans,
                    "stray_keys": stray_keys,
                },
            )
            moved = finish(connection, generation, "archived")
            return Move(moved, moved=True, orphans=orphans, stray_keys=stray_keys)

    try:
        return with_escalating_lock_timeout(
            connection, f"attach of {table} to {ARCHIVED}", attach, sleep=sleep
        )
    except psycopg.errors.DuplicateTable as error:
        raise Refused(
            f"archive of {month}",
            cause=str(error).strip(),
            next_step=f"compare {table} with {archived}; both hold this month",
        ) from error
