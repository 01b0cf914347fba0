"""Attaches a month that stands alone, once it is proven to be that month and nobody else's.

A human's DETACH leaves such a table, and so does a dead archive run, whose table is left to the
archive. While it stands alone a deleted thread still takes its rows, but nothing takes their keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.partitions.create import (
    ATTACH_WAITS_MS,
    KEYED,
    attach,
    bounds_of,
    create_like,
    is_empty,
)
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class DetachedTable:
    """A relation that bears the name of a month and is not attached to its parent."""

    name: str
    kind: str
    attached_to: str | None


def detached_tables_of(connection: Connection, parent: str) -> dict[str, DetachedTable]:
    """What stands alone under the name of a month of ``parent``, by name."""
    with connection.cursor(row_factory=class_row(DetachedTable)) as cursor:
        cursor.execute(statement("partitions/standing_alone"), {"parent": parent})
        return {detached.name: detached for detached in cursor}


def attach_detached(
    connection: Connection,
    parent: str,
    month: Month,
    detached: DetachedTable,
    *,
    log: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Literal["attached", "replaced"]:
    """Attach ``detached`` as the partition of ``month``; Refused when that is not provably right.

    An empty table of another shape is replaced. One with rows must have the parent's columns and
    constraints; each row must lie within the month, belong to a living thread and user, have its
    key, and be in no archived month. While that is examined nobody writes to it (a trigger
    refuses), and no lock is held: thread deletions go on and take their keys along.
    """
    if detached.kind != "table" or detached.attached_to is not None:
        raise _refusal(detached.name, parent, month, _what_it_is(detached))
    differences = _shape_differences(connection, parent, detached.name)
    if differences and is_empty(connection, detached.name):
        _replace_empty(connection, parent, month, detached.name, sleep=sleep)
        log(f"replaced {detached.name}, which was empty and of another shape")
        return "replaced"
    if differences:
        raise _refusal(detached.name, parent, month, "; ".join(differences))
    _freeze(connection, parent, detached.name, sleep=sleep)
    try:
        wrong = _why_wrong(connection, parent, month, detached.name, sleep=sleep)
        if wrong is not None:
            raise _refusal(detached.name, parent, month, wrong)
        orphaned_keys = _delete_orphaned_keys(connection, parent, month, detached.name)
        _attach(connection, parent, month, detached.name, orphaned_keys, sleep=sleep)
    except Refused:
        _patiently(connection, detached.name, lambda: _unfreeze(connection, detached.name), sleep)
        raise
    log(f"attached {detached.name}, which stood alone")
    return "attached"


def _refusal(name: str, parent: str, month: Month, cause: str) -> Refused:
    return Refused(
        f"table {name}",
        cause=f"it bears the name of {parent}'s partition of {month} and is not attached; {cause}",
        next_step="see what it holds, then correct or rename it, and create that month again",
    )


def _what_it_is(detached: DetachedTable) -> str:
    if detached.attached_to is not None:
        return f"it is a partition of {detached.attached_to}"
    return f"it is a {detached.kind}"


def _shape_differences(connection: Connection, parent: str, name: str) -> list[str]:
    rows = connection.execute(
        statement("partitions/shape_differences"), {"table": name, "parent": parent}
    )
    return [words for (words,) in rows]


def _replace_empty(
    connection: Connection,
    parent: str,
    month: Month,
    name: str,
    *,
    sleep: Callable[[float], None],
) -> None:
    def replace() -> None:
        with connection.transaction():
            _run(connection, "partitions/lock_table", name)
            if not is_empty(connection, name):
                raise _refusal(name, parent, month, "it is no longer empty")
            _run(connection, "partitions/drop_table", name)
            create_like(connection, parent, name)
            attach(connection, parent, month, name)
            write_audit(connection, "partitions.replace", parent, {"dropped": [name]})

    _patiently(connection, name, replace, sleep)


def _freeze(
    connection: Connection, parent: str, name: str, *, sleep: Callable[[float], None]
) -> None:
    def freeze() -> None:
        with connection.transaction():
            _run(connection, "partitions/freeze", name)
            if parent == KEYED:
                _run(connection, "partitions/follow_deletes", name)

    _patiently(connection, name, freeze, sleep)


def _unfreeze(connection: Connection, name: str) -> None:
    with connection.transaction():
        _run(connection, "partitions/unfreeze", name)
        _run(connection, "partitions/unfollow_deletes", name)
        _run(connection, "partitions/drop_bounds_check", name)


def _why_wrong(
    connection: Connection,
    parent: str,
    month: Month,
    name: str,
    *,
    sleep: Callable[[float], None],
) -> str | None:
    """What keeps the table from being the month, None when nothing does."""
    _patiently(
        connection,
        name,
        lambda: _run(connection, "partitions/add_bounds_check", name, bounds_of(month)),
        sleep,
    )
    try:
        _run(connection, "partitions/validate_bounds_check", name)
    except psycopg.errors.CheckViolation:
        return f"some of its rows lie outside {month}"
    if parent != KEYED:
        return None
    for query, words in (
        ("partitions/rows_without_key", "have no key in content_segment_keys, or another one"),
        ("partitions/rows_archived", "are in archived_content_segments too"),
        ("partitions/rows_without_thread", "belong to a thread or a user that is gone"),
    ):
        row = connection.execute(statement(query).format(table=sql.Identifier(name))).fetchone()
        if row is not None and row[0] > 0:
            return f"{row[0]} of its rows {words}"
    return None


def _delete_orphaned_keys(connection: Connection, parent: str, month: Month, name: str) -> int:
    if parent != KEYED:
        return 0
    return connection.execute(
        statement("partitions/delete_orphaned_keys").format(table=sql.Identifier(name)),
        {"lower": month.start, "upper": month.end},
    ).rowcount


def _attach(
    connection: Connection,
    parent: str,
    month: Month,
    name: str,
    orphaned_keys: int,
    *,
    sleep: Callable[[float], None],
) -> None:
    def attach_and_unfreeze() -> None:
        with connection.transaction():
            _run(connection, "partitions/unfreeze", name)
            _run(connection, "partitions/unfollow_deletes", name)
            attach(connection, parent, month, name)
            _run(connection, "partitions/drop_bounds_check", name)
            write_audit(
                connection, "partitions.attach", name, {"orphaned_keys_deleted": orphaned_keys}
            )

    _patiently(connection, name, attach_and_unfreeze, sleep)


def _patiently(
    connection: Connection,
    name: str,
    action: Callable[[], None],
    sleep: Callable[[float], None],
) -> None:
    with_escalating_lock_timeout(
        connection, f"table {name}", action, waits_ms=ATTACH_WAITS_MS, sleep=sleep
    )


def _run(
    connection: Connection, query: str, table: str, names: Mapping[str, sql.Literal] | None = None
) -> None:
    connection.execute(statement(query).format(table=sql.Identifier(table), **(names or {})))
