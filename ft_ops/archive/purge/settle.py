"""Ends a removal: drops the month's table, or attaches what stays of it as a table of its own.

What was removed is known by id: the segments that were proven, as far as the ledger recorded in
the transactions that removed their keys, less those that it recorded as kept. Every
other row stays, whatever it is. A table is dropped once every row that is to stay is found in its
copy. That is counted without a lock, because whoever deletes a thread would wait for it: a trigger
keeps both tables' rows meanwhile, and the locks come when only the drop is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg import sql

from ft_ops.archive.month.content import ARCHIVED
from ft_ops.archive.month.relation import Relation, dependents
from ft_ops.archive.month.units import RemovalProgress
from ft_ops.archive.move.align import aligned
from ft_ops.archive.move.copy import copy_alone, drop_copy, let_vacuum
from ft_ops.archive.move.counted import count_kept, count_rows, keep_rows, lock_as_counted
from ft_ops.archive.move.detach import (
    as_archived,
    attach_alone,
    forget_erased,
    rename_archived,
)
from ft_ops.archive.purge.removal import Removal, forget_erased_rows
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SettledRemoval:
    """What became of the table of a removal. ``table``: what is attached now, None: nothing.

    ``untouched``: not one segment was removed, and it is the table that it was before.
    """

    table: Relation | None
    untouched: bool = False


def settle(
    run: Run,
    removal: Removal,
    gone: RemovalProgress,
    close: Callable[[SettledRemoval], T],
    *,
    keeps_table: bool = False,
) -> T:
    """Drop the table, or attach its rows that stay in a new one; ``close`` records which.

    ``gone`` is how far the removal has come. ``close`` is called in the transaction that does it.
    With ``keeps_table`` the month has a table afterwards, though it may be empty. Refused when the
    drop would take a row that is to stay.
    """
    held = forget_erased_rows(run, removal).held
    rows = count_rows(run.connection, removal.table.identifier)
    if rows > 0 and rows == count_rows(run.connection, _staying(removal, gone)):
        return _put_back(run, removal, close)
    if held:
        raise Refused(
            removal.what,
            cause=f"{removal.table.qualified} has rows of a thread that was deleted, and {held}: "
            "no copy of what stays takes a row without its thread",
            next_step="release that hold, and run again: these rows go then, and what stays of the "
            "month is attached again. Until then all of it is in that table",
        )
    keep_rows(run, removal.table, removal.what)
    copy = _copy_of_remainder(run, removal, gone, keeps_table=keeps_table)
    if copy is not None:
        keep_rows(run, copy, removal.what)
    counted = count_kept(run, _staying(removal, gone), removal.table, copy, removal.what)

    def swap() -> T:
        with run.connection.transaction():
            closed = _close(run, removal, copy, close)
            lock_as_counted(run.connection, counted, removal.what)
            _drop(run, removal.table)
            if copy is not None:
                let_vacuum(run.connection, copy)
                attached = rename_archived(run.connection, removal.month, copy)
                attach_alone(run.connection, removal.month, attached)
            return closed

    try:
        return with_escalating_lock_timeout(run.connection, removal.what, swap, sleep=run.sleep)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise Refused(
            removal.what,
            cause="; ".join(dependents(run.connection, removal.table)) or str(error).strip(),
            next_step=f"drop that, or let it read {ARCHIVED}, and run again: until then the rows "
            f"that stay are in {removal.table.qualified} alone",
        ) from error


def _put_back(run: Run, removal: Removal, close: Callable[[SettledRemoval], T]) -> T:
    """Attach the table again, as it is."""
    table = aligned(run, removal.month, removal.table, removal.what)

    def attach() -> T:
        with run.connection.transaction():
            forget_erased(run.connection, removal.month, table)
            closed = close(SettledRemoval(as_archived(removal.month, table), untouched=True))
            archived = rename_archived(run.connection, removal.month, table)
            attach_alone(run.connection, removal.month, archived)
            return closed

    return with_escalating_lock_timeout(run.connection, removal.what, attach, sleep=run.sleep)


def _copy_of_remainder(
    run: Run, removal: Removal, gone: RemovalProgress, *, keeps_table: bool
) -> Relation | None:
    """The rows that stay, in a table of today's shape; None when no row does."""
    stay = count_rows(run.connection, _staying(removal, gone))
    if stay == 0 and not keeps_table:
        drop_copy(run, removal.month, removal.what)
        return None
    rows = _staying(removal, gone) if stay else None
    return copy_alone(run, removal.month, removal.table, rows, removal.what)


def _close(
    run: Run, removal: Removal, copy: Relation | None, close: Callable[[SettledRemoval], T]
) -> T:
    """Forget what was erased before the month stood alone; what is erased since goes by cascade."""
    if copy is None:
        forget_erased(run.connection, removal.month, None)
        return close(SettledRemoval(None))
    forget_erased(run.connection, removal.month, copy)
    return close(SettledRemoval(as_archived(removal.month, copy)))


def _staying(removal: Removal, gone: RemovalProgress) -> sql.Composed:
    names: Mapping[str, sql.Composable] = {
        "table": removal.table.identifier,
        "units": removal.units.segments,
        "done": gone.covers(sql.Identifier("u", "segment_id")),
        "month": sql.Literal(removal.month.first_day),
        "generation": sql.Literal(removal.generation),
        "thaw": sql.Literal(removal.thaw),
    }
    return statement("archive/staying_rows").format(**names)


def _drop(run: Run, table: Relation) -> None:
    run.connection.execute(statement("archive/drop_purged").format(table=table.identifier))
