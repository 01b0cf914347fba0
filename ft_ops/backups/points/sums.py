"""Sums of the hashes of a table's rows and of its parts, read in steps that can rest in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import Pace
from ft_ops.pg.sqlfiles import statement

_ROWS_OF_A_STEP: Final = 2_000
"""Of 500 bytes each they are hashed in some 10 ms. Fewer of them would be spent on fetching."""


@dataclass(frozen=True, slots=True)
class TableFingerprint:
    """The rows of one table, or of a part of it, and the sum of their hashes."""

    rows: int
    sum: int


@dataclass(frozen=True, slots=True)
class TableParts:
    """Those parts of a table that did not change around a mark: number → fingerprint.

    Part n begins with block n × ``blocks``; ``of`` is how many parts there were.
    """

    blocks: int
    of: int
    parts: Mapping[int, TableFingerprint]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts.values())


def agreeing_parts(first: TableParts, second: TableParts) -> TableParts:
    """What of a table was the same in both."""
    same = {n: part for n, part in first.parts.items() if second.parts.get(n) == part}
    return TableParts(first.blocks, max(first.of, second.of), same)


def fingerprint_in_steps(
    connection: Connection, table: sql.Identifier, is_seen: sql.Composed, pace: Pace
) -> TableFingerprint:
    """One table's rows and the sum of their hashes; within a transaction."""
    query = statement("backups/hashes").format(table=table, is_seen=is_seen)
    rows, total = 0, 0
    with _steps(connection, query) as steps:
        for step in pace.steps(steps):
            rows += len(step)
            total += sum(found for (found,) in step)
    return TableFingerprint(rows, total)


def parts_in_steps(
    connection: Connection, table: sql.Identifier, is_seen: sql.Composed, blocks: int, pace: Pace
) -> TableParts:
    """The same for each run of so many blocks; within a transaction."""
    query = statement("backups/hashes_of_parts").format(
        table=table, blocks=sql.Literal(blocks), is_seen=is_seen
    )
    rows, totals = Counter[int](), Counter[int]()
    with _steps(connection, query) as steps:
        for step in pace.steps(steps):
            for number, found in step:
                rows[number] += 1
                totals[number] += found
    parts = {number: TableFingerprint(rows[number], totals[number]) for number in rows}
    return TableParts(blocks, max(parts, default=-1) + 1, parts)


@contextmanager
def _steps(
    connection: Connection, query: sql.Composed
) -> Iterator[Iterator[list[tuple[int, ...]]]]:
    """A query's rows, some at a time: the server works for one step only while it is fetched.

    The cursor ends with the block, whatever ends that: closed behind the end of its savepoint, it
    would be missing, and that error would end the transaction of all tables.
    """
    with connection.cursor("hashes", binary=True) as cursor:
        cursor.execute(query)
        yield iter(lambda: cursor.fetchmany(_ROWS_OF_A_STEP), [])
