"""Detaching a month, and attaching it to the archive: the same for a move, a purge and a thaw."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from ft_ops.archive.month.content import ARCHIVED, archived_name
from ft_ops.months import Month
from ft_ops.pg.catalog import Partition, partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


def partition_of(connection: Connection, parent: str, month: Month) -> Partition | None:
    """The partition of ``parent`` that holds ``month``, also while its detach is pending."""
    return next((p for p in partitions_of(connection, parent) if p.month == month), None)


def detach_month(
    connection: Connection,
    parent: str,
    month: Month,
    *,
    log: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    """DETACH CONCURRENTLY, never waiting without a time-out.

    A time-out may leave the detach pending; the next attempt, in this run or another, finalizes
    it. Nothing to do when the month is not attached.
    """

    def detach() -> None:
        partition = partition_of(connection, parent, month)
        if partition is None:
            return
        step = "archive/finalize_detach" if partition.is_detaching else "archive/detach"
        log(
            f"{'finalizing the detach of' if partition.is_detaching else 'detaching'} "
            f"{partition.name}"
        )
        connection.execute(
            statement(step).format(
                parent=sql.Identifier(parent), partition=sql.Identifier(partition.name)
            )
        )

    with_escalating_lock_timeout(
        connection, f"detach of {month} from {parent}", detach, sleep=sleep
    )


def attach_archived(connection: Connection, month: Month) -> tuple[int, int]:
    """Attach the month's table to the archive's parent, inside the caller's transaction.

    While the table stood alone, a deleted thread still took its rows (its foreign keys live on)
    but no trigger took their keys; and in the instant of the detach it may have left rows behind.
    Both are set right first. Returns the rows without a thread and the keys without a row.
    """
    names = {
        "archived": sql.Identifier(archived_name(month)),
        "parent": sql.Identifier(ARCHIVED),
        "lower": sql.Literal(month.start.isoformat()),
        "upper": sql.Literal(month.end.isoformat()),
    }
    orphans = connection.execute(statement("archive/delete_orphans").format(**names)).rowcount
    keys = connection.execute(
        statement("archive/delete_stray_keys").format(**names),
        {"lower": month.start, "upper": month.end},
    ).rowcount
    connection.execute(statement("archive/attach").format(**names))
    return orphans, keys
