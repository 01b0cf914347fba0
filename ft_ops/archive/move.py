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

from ft_ops.archive.content import ARCHIVED, HOT, archived_name, hot_name
from ft_ops.archive.ledger import Generation, begin_generation, finish, latest
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.catalog import Partition, partitions_of, table_exists
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one, with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Move:
    """What moving a month did. ``orphans`` are rows whose thread was deleted meanwhile."""

    generation: Generation
    moved: bool
    orphans: int
    forgotten_keys: int


def move_month(
    connection: Connection,
    month: Month,
    *,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Move | None:
    """Take a month out of content_segments and into archived_content_segments.

    Returns None when the database has nothing of that month. Refused when an earlier generation
    of it has not been purged: late rows then stay where they are until it has.
    """
    with only_one(connection, f"archive {month}"):
        hot = _partition(connection, HOT, month)
        generation = latest(connection, month)
        detached = table_exists(connection, hot_name(month)) and hot is None
        if hot is None and not detached:
            return None if generation is None else Move(generation, False, 0, 0)
        if detached and (generation is None or generation.state != "archiving"):
            raise Refused(
                f"archive of {month}",
                cause=f"{hot_name(month)} stands alone, and no archive run detached it",
                next_step=f"see what it holds; attach it to {HOT} as {month}, or rename it",
            )
        generation = _open_generation(connection, month, generation, run_id)
        if hot is not None:
            write_audit(connection, "archive.detach", hot.name, {"month": str(month)})
            _detach(connection, hot, log=log, sleep=sleep)
        return _attach(connection, generation, hot.name if hot else hot_name(month), sleep=sleep)


def _partition(connection: Connection, parent: str, month: Month) -> Partition | None:
    found = [p for p in partitions_of(connection, parent) if p.month == month]
    return found[0] if found else None


def _open_generation(
    connection: Connection, month: Month, newest: Generation | None, run_id: str
) -> Generation:
    if newest is not None and newest.state == "archiving":
        return newest
    if _partition(connection, ARCHIVED, month) is not None:
        assert newest is not None
        raise Refused(
            f"archive of {month}",
            cause=f"late rows wait in {hot_name(month)}, and {newest.name} is still in the "
            f"database, {newest.state}",
            next_step="let that generation be purged; then the late rows become the next one",
        )
    return begin_generation(connection, month, "archiving", run_id)


def _detach(
    connection: Connection,
    partition: Partition,
    *,
    log: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    """DETACH CONCURRENTLY; a time-out may leave it pending, and then it is finalized."""
    names = {"parent": sql.Identifier(HOT), "partition": sql.Identifier(partition.name)}

    def detach() -> None:
        month = partition.month
        assert month is not None
        current = _partition(connection, HOT, month)
        if current is None:
            return
        step = "archive/finalize_detach" if current.is_detaching else "archive/detach"
        log(f"{'finalizing the detach of' if current.is_detaching else 'detaching'} {current.name}")
        connection.execute(statement(step).format(**names))

    with_escalating_lock_timeout(
        connection, f"detach of partition {partition.name}", detach, sleep=sleep
    )


def _attach(
    connection: Connection,
    generation: Generation,
    table: str,
    *,
    sleep: Callable[[float], None],
) -> Move:
    """Attach the detached table to the archive's parent, renamed, and record it: one transaction.

    While the table stood alone, a deleted thread still took its rows (its foreign keys live on)
    but no trigger took their keys; and in the instant of the detach it may have left rows behind.
    Both are set right here, before anybody can read the month again.
    """
    month = generation.month
    names = {
        "table": sql.Identifier(table),
        "archived": sql.Identifier(archived_name(month)),
        "parent": sql.Identifier(ARCHIVED),
        "lower": sql.Literal(month.start.isoformat()),
        "upper": sql.Literal(month.end.isoformat()),
    }

    def attach() -> Move:
        with connection.transaction():
            connection.execute(statement("archive/rename").format(**names))
            orphans = connection.execute(
                statement("archive/delete_orphans").format(**names)
            ).rowcount
            keys = connection.execute(
                statement("archive/delete_stray_keys").format(**names),
                {"lower": month.start, "upper": month.end},
            ).rowcount
            connection.execute(statement("archive/attach").format(**names))
            write_audit(
                connection,
                "archive.attach",
                archived_name(month),
                {"month": str(month), "generation": generation.number, "orphans": orphans},
            )
            return Move(finish(connection, generation, "archived"), True, orphans, keys)

    try:
        return with_escalating_lock_timeout(
            connection, f"attach of {table} to {ARCHIVED}", attach, sleep=sleep
        )
    except psycopg.errors.DuplicateTable as error:
        raise Refused(
            f"archive of {month}",
            cause=str(error).strip(),
            next_step=f"compare {table} with {archived_name(month)}; both hold this month",
        ) from error
