"""Writes what is missing, and proves that nothing else was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.failures import (
    Failure,
    failures_in_any_order,
    is_about_rows,
    state_of,
)
from ft_ops.restore.late import LAST, Late, early, late_columns, write_late
from ft_ops.restore.read.graph import ARCHIVED, KEYS, SEGMENTS, Scope, identifier
from ft_ops.restore.read.rows import Copied, listed
from ft_ops.restore.read.sides import Side
from ft_ops.restore.verdict.keep_out import keep_out

_OPERATIONS: Final = "ops."
_DELETED_OF_OPERATIONS: Final = frozenset({"ops.erasures", "ops.erased_rows"})
"""Tombstones that were withdrawn, and those of links that are back."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one table got from a transaction so far, as the server counts."""

    name: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True)
class RowsWritten:
    """How many rows of a table were written, and how many of them got a reference in the end."""

    inserted: int
    overwritten: int
    completed: int

    def of(self, name: str) -> Written:
        """The same as the server has to count it."""
        return Written(name, self.inserted, self.overwritten + self.completed, 0)


def written(connection: Connection) -> dict[str, Written]:
    """The server's own count of what this session wrote, by table."""
    with connection.cursor(row_factory=class_row(Written)) as cursor:
        return {found.name: found for found in cursor.execute(statement("restore/written"))}


@dataclass(frozen=True, slots=True)
class RowsRefused:
    """Rows of one table that it does not take today."""

    copied: Copied
    failures: tuple[Failure, ...]


def write_rows(
    live: Side, copied: Mapping[str, Copied], is_race: Callable[[psycopg.Error], bool]
) -> dict[str, RowsWritten] | RowsRefused:
    """Insert what is missing and overwrite what was chosen, parents first; by the table's name.

    Where a table does not take some of its rows, these are told and nothing more is written: what
    hangs on them is to be judged anew. A race goes through: others write there.
    """
    places = [place for name in copied for place in _places(name)]
    counts = {write: dict.fromkeys(places, 0) for write in (_insert, _overwrite, write_late)}
    for rows, write in _steps(copied):
        late = late_columns(rows, copied)
        for place in _places(rows.table.name):
            try:
                with live.connection.transaction():
                    counts[write][place] += write(live.connection, rows, place, late)
            except psycopg.Error as error:
                if not is_about_rows(error) or is_race(error):
                    raise
                failures = _failures(live.connection, rows, write, place, late)
                return RowsRefused(rows, tuple(failures))
    return {name: RowsWritten(*(found[name] for found in counts.values())) for name in places}


def _steps(copied: Mapping[str, Copied]) -> Iterator[tuple[Copied, _Write]]:
    for rows in copied.values():
        yield rows, _insert
        yield rows, _overwrite
    for rows in copied.values():
        yield rows, write_late


def _failures(
    connection: Connection, rows: Copied, write: _Write, place: str, late: Late
) -> list[Failure]:
    last = one_row(connection.execute(sql.SQL("SELECT max(ft_number) FROM {}").format(rows.rows)))[
        0
    ]
    return failures_in_any_order(
        connection, 1, int(last), lambda low, high: write(connection, rows, place, late, low, high)
    )


def keep_out_failures(connection: Connection, refusal: RowsRefused) -> None:
    """Keep the rows out that a table does not take, each with the reason."""
    for failure in refusal.failures:
        of_them = sql.SQL("c.ft_number BETWEEN {} AND {}").format(
            sql.Literal(failure.first), sql.Literal(failure.last)
        )
        keep_out(connection, refusal.copied, state_of(failure.error), failure.in_words(), of_them)


def rows_altered(live: Side, copied: Mapping[str, Copied]) -> dict[str, list[int]]:
    """Written rows that a trigger has kept out or changed, by their tables and numbers."""
    found = {}
    for name, rows in copied.items():
        columns = tuple(dict.fromkeys((*rows.table.key, *rows.compared)))
        query = statement("restore/not_as_copied").format(
            rows=rows.rows,
            live=live.rows(rows.table, columns),
            same_key=rows.same_key(),
            is_same=rows.is_same(rows.compared),
        )
        if numbers := [number for (number,) in live.connection.execute(query)]:
            found[name] = numbers
    return found


def keep_out_altered(
    connection: Connection, copied: Mapping[str, Copied], altered: Mapping[str, list[int]]
) -> None:
    """Keep these out: what would come back is not what the copy has."""
    for name, numbers in altered.items():
        keep_out(
            connection,
            copied[name],
            "blocked",
            "a trigger of today keeps it out or changes it. Next: see which one, then run again",
            sql.SQL("c.ft_number = ANY ({})").format(sql.Literal(numbers)),
        )


def refuse_other_writes(
    live: Side,
    scope: Scope,
    rows: Mapping[str, RowsWritten],
    before: Mapping[str, Written],
) -> None:
    """Refused unless this transaction wrote the rows that were chosen, all of them, and no other.

    The server counts what each table got, by whatever statement, trigger or cascade. Where the
    numbers are those of the chosen rows, and each of these is in its place as the copy has it
    (`rows_altered`), no other row can have been touched.
    """
    allowed = {name: counted.of(name) for name, counted in rows.items()}
    if SEGMENTS in rows:
        own = [rows[place] for place in (SEGMENTS, ARCHIVED)]
        inserted, overwritten = (sum(r.inserted for r in own), sum(r.overwritten for r in own))
        allowed[KEYS] = Written(KEYS, inserted, overwritten, 0)
    problems = list(_other_writes(live.connection, allowed, before))
    if problems:
        raise Refused(
            f"restore of {scope.subject}",
            cause=f"it would write more or other rows than it was told: {'; '.join(problems)}",
            next_step="see which trigger of these tables does that; nothing was changed",
        )


def _other_writes(
    connection: Connection, allowed: Mapping[str, Written], before: Mapping[str, Written]
) -> Iterator[str]:
    after = written(connection)
    for name in sorted(after.keys() | allowed.keys()):
        now, then = (side.get(name, Written(name, 0, 0, 0)) for side in (after, before))
        told = allowed.get(name, Written(name, 0, 0, 0))
        did = Written(
            name,
            now.inserted - then.inserted,
            now.updated - then.updated,
            now.deleted - then.deleted,
        )
        if name.startswith(_OPERATIONS):
            if did.deleted and name not in _DELETED_OF_OPERATIONS:
                yield f"{did.deleted} rows of {name} deleted"
        elif did != told:
            yield (
                f"{name}: {did.inserted} inserted, {did.updated} updated, {did.deleted} deleted, "
                f"not {told.inserted}, {told.updated} and {told.deleted}"
            )


_Write = Callable[..., int]


def _insert(
    connection: Connection,
    rows: Copied,
    place: str,
    late: Late,
    first: int = 0,
    last: int = LAST,
) -> int:
    if not rows.columns:
        # The copy has no such table.
        return 0
    values = (
        early(name, late, sql.SQL("NULL::{}").format(sql.SQL(rows.table.columns[name].type)))
        for name in rows.columns
    )
    return connection.execute(
        statement("restore/insert_rows").format(
            table=identifier(place),
            columns=listed(rows.columns),
            values=sql.SQL(", ").join(values),
            rows=rows.rows,
            is_here=_is_here(rows, place),
        ),
        {"first": first, "last": last},
    ).rowcount


def _overwrite(
    connection: Connection,
    rows: Copied,
    place: str,
    late: Late,
    first: int = 0,
    last: int = LAST,
) -> int:
    if not rows.assigned:
        return 0
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(
            sql.Identifier(name), early(name, late, sql.Identifier("l", name))
        )
        for name in rows.assigned
    )
    return connection.execute(
        statement("restore/overwrite_rows").format(
            table=identifier(place),
            assignments=assignments,
            rows=rows.rows,
            same_key=rows.same_key(),
        ),
        {"first": first, "last": last},
    ).rowcount


def _places(name: str) -> tuple[str, ...]:
    return (SEGMENTS, ARCHIVED) if name == SEGMENTS else (name,)


def _is_here(rows: Copied, place: str) -> sql.Composable:
    if rows.table.name != SEGMENTS:
        return sql.SQL("true")
    return sql.SQL("c.ft_place = {}").format(sql.Literal(place))
