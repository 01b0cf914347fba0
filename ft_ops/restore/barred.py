"""What keeps a restore from beginning: tables that this role may not read or write as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg.rows import class_row

from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.read.graph import ARCHIVED, KEYS, SEGMENTS, Scope
from ft_ops.restore.read.sides import Side


@dataclass(frozen=True, slots=True)
class _Access:
    name: str
    is_filtered: bool
    may_read: bool
    may_insert: bool


def refuse_barred(copy: Side, live: Side, scope: Scope) -> None:
    """Refused where rows of a table would be hidden from this role, or none could be written."""
    tables = [table.quoted for table in scope.tables]
    read_too = [
        live.catalog.tables[name].quoted
        for name in (ARCHIVED, KEYS)
        if SEGMENTS in {table.name for table in scope.tables} and live.has(name)
    ]
    problems = [
        *_problems(live.connection, tables, "", writes=True),
        *_problems(live.connection, read_too, "", writes=False),
        *_problems(copy.connection, [*tables, *read_too], " of the copy", writes=False),
    ]
    if problems:
        raise Refused(
            f"restore of {scope.subject}",
            cause="; ".join(problems),
            next_step="take FORCE ROW LEVEL SECURITY off these tables or give the role BYPASSRLS, "
            "and grant what is missing (`ft-ops doctor` names it); nothing was changed",
        )


def _problems(
    connection: Connection, tables: Iterable[str], where: str, *, writes: bool
) -> Iterator[str]:
    with connection.cursor(row_factory=class_row(_Access)) as cursor:
        cursor.execute(statement("restore/barred"), {"tables": list(tables)})
        found = cursor.fetchall()
    for access in found:
        name = access.name.replace('"', "")
        if access.is_filtered:
            yield f"row-level security of {name}{where} holds for this role, too"
        elif not access.may_read:
            yield f"this role may not read {name}{where}"
        elif writes and not access.may_insert:
            yield f"this role may not insert into {name}{where}"
