"""Compares every B-tree index of a copy with its table.

An index-only scan answers from the index where the visibility map allows it, so a page that was
zeroed or cut off the table is seen by what the index still knows of it. amcheck, where it is
installed, adds the order of the index and a proof that each row has its entry.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.backups.drill.notes import Notes
from ft_ops.backups.provider import Examined, Finding
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

CHECK = "indexes"

_Content: TypeAlias = tuple[int, int]
"""Rows, and the sum of their hashes."""

_THROUGH_THE_INDEX = ("enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_tidscan")
_THROUGH_THE_TABLE = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")


@dataclass(frozen=True, slots=True)
class _Index:
    index_id: int
    table_id: int
    name: str
    table_schema: str
    table_name: str
    expressions: list[str]
    predicate: str | None
    ordering: str

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(self.table_schema, self.table_name)

    @property
    def table_label(self) -> str:
        return f"{self.table_schema}.{self.table_name}"

    @property
    def row(self) -> sql.Composed:
        columns = sql.SQL(", ").join(_from_catalog(text) for text in self.expressions)
        return sql.SQL("(ROW({})::text)").format(columns)

    @property
    def condition(self) -> sql.SQL:
        return _from_catalog(self.predicate or "true")


def check_with_amcheck(connection: Connection) -> Examined:
    """Run bt_index_check on every B-tree index; nothing where amcheck is not for this role."""
    found = connection.execute(statement("backups/function_schema")).fetchone()
    if found is None:
        return Examined(0, unsaid=("amcheck is not installed for this role",))
    query = statement("backups/check_index").format(
        function=sql.Identifier(found[0], "bt_index_check")
    )
    notes = Notes(CHECK)
    indexes = _indexes(connection)
    for index in indexes:
        try:
            connection.execute(query, {"index_id": index.index_id})
        except psycopg.Error as error:
            notes.failed(index.name, error)
    return notes.examined(len(indexes))


def check_against_tables(connection: Connection) -> Examined:
    """Compare what each index says with what its table says; how many could be compared.

    The connection must be a superuser's, in autocommit, to a copy that nobody else uses: the
    other indexes of a table are hidden from the planner, in a transaction that is rolled back.
    """
    compared = 0
    notes = Notes(CHECK)
    for _, group in groupby(_indexes(connection), key=lambda index: index.table_id):
        indexes = list(group)
        try:
            heap = _read_heap(connection, indexes)
        except psycopg.Error as error:
            notes.failed(indexes[0].table_label, error)
            continue
        for index, expected in zip(indexes, heap, strict=True):
            try:
                found = _read_index(connection, index)
            except psycopg.Error as error:
                notes.failed(index.name, error)
                continue
            compared += found is not None
            if found not in {None, expected}:
                notes.findings.append(_difference(index, expected, found))
    return notes.examined(compared)


def _indexes(connection: Connection) -> list[_Index]:
    with connection.cursor(row_factory=class_row(_Index)) as cursor:
        return cursor.execute(statement("backups/btree_indexes")).fetchall()


def _read_heap(connection: Connection, indexes: Sequence[_Index]) -> list[_Content]:
    """Rows and hash that each index of one table should have, from a single scan."""
    columns = [
        sql.SQL(
            "count(*) FILTER (WHERE {condition}),"
            " coalesce(sum(hashtextextended({row}, 0)) FILTER (WHERE {condition}), 0)"
        ).format(condition=index.condition, row=index.row)
        for index in indexes
    ]
    query = statement("backups/read_heap").format(
        columns=sql.SQL(", ").join(columns), table=indexes[0].table
    )
    with connection.transaction(force_rollback=True):
        _forbid(connection, _THROUGH_THE_TABLE)
        row = connection.execute(query).fetchone()
    assert row is not None
    return [(int(row[n]), int(row[n + 1])) for n in range(0, len(row), 2)]


def _read_index(connection: Connection, index: _Index) -> _Content | None:
    """Rows and hash by way of the index; None when the planner can't read all of it."""
    query = statement("backups/read_index").format(
        expressions=index.row,
        table=index.table,
        predicate=index.condition,
        ordering=_from_catalog(index.ordering),
    )
    with connection.transaction(force_rollback=True):
        connection.execute(
            statement("backups/hide_other_indexes"),
            {"index_id": index.index_id, "table_id": index.table_id},
        )
        _forbid(connection, _THROUGH_THE_INDEX)
        plan = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + query).fetchone()
        assert plan is not None
        if '"Index Name"' not in json.dumps(plan[0]):
            return None
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _difference(index: _Index, expected: _Content, found: _Content | None) -> Finding:
    rows, entries = expected[0], found[0] if found is not None else 0
    problem = f"{entries} entries, and {rows} rows in {index.table_label}"
    if rows == entries:
        problem = f"its {entries} entries are not what {index.table_label} holds"
    return Finding(CHECK, index.name, problem)


def _forbid(connection: Connection, ways: Sequence[str]) -> None:
    for way in ways:
        connection.execute("SELECT set_config(%s, 'off', true)", (way,))


def _from_catalog(text: str) -> sql.SQL:
    # Deparsed by the server itself, never input.
    return sql.SQL(text)
