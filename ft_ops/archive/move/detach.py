"""Detaching a month, and attaching it to the archive: the same for a move, a purge and a thaw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg
from psycopg import sql

from ft_ops.archive.hold.holds import guard_segments
from ft_ops.archive.month.content import ARCHIVED, KEYS, archived_name, bounds
from ft_ops.archive.month.relation import Relation, attached_relation
from ft_ops.archive.move.renewed import note_columns
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one, with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Erased:
    """What an attachment removed: rows and keys of threads that were erased meanwhile.

    ``held``: of which hold some could not be removed, in the database's words.
    """

    rows: int
    keys: int
    held: str = ""


def detach_month(
    connection: Connection,
    parent: str,
    month: Month,
    *,
    log: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    """DETACH CONCURRENTLY, never waiting without a time-out.

    The table first gets a trigger of its own, by which a deleted row takes its key along while it
    has no parent. Whoever reads it already is waited for before anything is begun: a time-out later
    may leave the detach pending, and a parent has one such at a time. The next attempt, in this run
    or in another month's, finalizes it. Nothing to do when the month is not attached.
    """

    def detach() -> None:
        partition = attached_relation(connection, parent, month)
        if partition is None:
            return
        if not partition.follows_deletes:
            connection.execute(
                statement("archive/follow_deletes").format(table=partition.identifier)
            )
        step = "archive/finalize_detach" if partition.is_detaching else "archive/detach"
        log(
            f"{'finalizing the detach of' if partition.is_detaching else 'detaching'} "
            f"{partition.qualified}"
        )
        # The detach takes the parent's triggers away, and holds count in a lone table too.
        if not partition.is_detaching:
            _finish_another(connection, parent, month, log)
            with connection.transaction():
                connection.execute(
                    statement("archive/lock_alone").format(table=partition.identifier)
                )
            note_columns(connection, partition.oid, parent)
            guard_segments(connection, partition.identifier)
        connection.execute(
            statement(step).format(parent=sql.Identifier(parent), partition=partition.identifier)
        )
        if partition.is_detaching:
            guard_segments(connection, partition.identifier)

    with_escalating_lock_timeout(
        connection, f"detach of {month} from {parent}", detach, sleep=sleep
    )


def _finish_another(
    connection: Connection, parent: str, month: Month, log: Callable[[str], None]
) -> None:
    """Finalize the detach of another month that a run left pending: until then no other begins.

    Refused for one that these operations did not begin, and while a run is at work on that month.
    """
    for other in partitions_of(connection, parent):
        if not other.is_detaching or other.month is None or other.month == month:
            continue
        pending = attached_relation(connection, parent, other.month)
        if pending is None or not pending.is_detaching:
            continue
        if not pending.follows_deletes:
            raise Refused(
                f"detach of {month} from {parent}",
                cause=f"somebody has begun to detach {pending.qualified}, and a table has one "
                "such at a time",
                next_step=f"find out who, then: ALTER TABLE {parent} DETACH PARTITION "
                f"{pending.qualified} FINALIZE",
            )
        with only_one(connection, f"archive {other.month}"):
            log(f"finalizing the detach of {pending.qualified}, which a run left pending")
            connection.execute(
                statement("archive/finalize_detach").format(
                    parent=sql.Identifier(parent), partition=pending.identifier
                )
            )
            guard_segments(connection, pending.identifier)


def attach_archived(connection: Connection, month: Month, table: Relation) -> Erased:
    """Attach a table that stands alone to the archive's parent, inside the caller's transaction.

    What the ledger of erasures names goes first.
    """
    erased = forget_erased(connection, month, table)
    attach_alone(connection, month, table)
    return erased


def forget_erased(connection: Connection, month: Month, table: Relation | None) -> Erased:
    """Delete what the ledger of erasures names, before a table is attached, or without one.

    That are rows and keys of threads that were deleted in the instant of the detach, or while a
    table without a trigger of its own stood alone. Nothing else is removed, whatever it lacks. What
    is held since stays, as the database wants it.
    """
    rows = keys = 0
    held = ""
    for thread in _erased_threads(connection, month, table):
        names = {"thread": thread, "lower": month.start, "upper": month.end}
        try:
            with connection.transaction():
                if table is not None:
                    connection.execute(statement("archive/forgets"))
                    rows += connection.execute(
                        statement("archive/delete_rows_of_erased_thread").format(
                            archived=table.identifier
                        ),
                        names,
                    ).rowcount
                keys += connection.execute(
                    statement("archive/delete_keys_of_erased_thread"), names
                ).rowcount
        except psycopg.errors.RestrictViolation as error:
            held = str(error).splitlines()[0]
    return Erased(rows, keys, held)


def _erased_threads(connection: Connection, month: Month, table: Relation | None) -> set[UUID]:
    """The threads that were erased and have rows in the table, or keys of the month."""
    keys = statement("archive/keys_of_month").format(
        keys=sql.Identifier("public", KEYS), **bounds(month)
    )
    relations: list[sql.Composable] = [keys]
    if table is not None:
        relations.append(table.identifier)
    return {
        thread
        for rows in relations
        for (thread,) in connection.execute(statement("archive/erased_threads").format(rows=rows))
    }


def attach_alone(connection: Connection, month: Month, table: Relation) -> None:
    """The attach alone: an instant, in which nobody may change a thread or a user."""
    for trigger in ("archive/stop_following_deletes", "archive/forget_counted"):
        connection.execute(statement(trigger).format(table=table.identifier))
    try:
        connection.execute(
            statement("archive/attach").format(
                archived=table.identifier, parent=sql.Identifier(ARCHIVED), **bounds(month)
            )
        )
    except psycopg.IntegrityError as error:
        raise Refused(
            f"attach of {table.qualified} to {ARCHIVED}",
            cause=" ".join(str(error).split("\n")[:2]).removesuffix("."),
            next_step="correct these rows of it, or the constraint, and run again; the rows are "
            "all still there",
        ) from error
    except psycopg.errors.DatatypeMismatch as error:
        raise Refused(
            f"attach of {table.qualified} to {ARCHIVED}",
            cause=f"{ARCHIVED} was altered meanwhile: {str(error).splitlines()[0]}",
            next_step="run again: the table follows it first. Nothing was dropped",
        ) from error


def rename_archived(connection: Connection, month: Month, table: Relation) -> Relation:
    """Give a table that stands alone its name in the archive, inside the caller's transaction."""
    if table.schema != "public":
        connection.execute(statement("archive/to_public").format(table=table.identifier))
    archived = as_archived(month, table)
    if table.name != archived.name:
        connection.execute(
            statement("archive/rename").format(
                table=sql.Identifier("public", table.name), archived=sql.Identifier(archived.name)
            )
        )
    return archived


def as_archived(month: Month, table: Relation) -> Relation:
    """A table as `rename_archived` makes it."""
    name = archived_name(month)
    return replace(table, schema="public", name=name, qualified=f"public.{name}")
