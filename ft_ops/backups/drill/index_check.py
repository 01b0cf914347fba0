"""Compares every B-tree index of a copy with its table.

Each is read twice in its own order. An index-only scan answers from the index where the visibility
map allows it, so a page that was zeroed or cut off the table is seen by what the index still knows
of it. A plain scan follows the pointers to the table: each row is met once, and in order. What
PostgreSQL can't read by an index is named. amcheck, where it is installed, adds what lies within
pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.backups.drill.notes import Notes
from ft_ops.backups.drill.session import connect_to_copy, from_catalog
from ft_ops.backups.provider import Examined
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

CHECK = "indexes"

_Content: TypeAlias = tuple[int, int]
"""Rows, and the sum of their hashes."""

_WORKERS = 2
"""Connections that look at once, each at another table."""

_THROUGH_THE_INDEX = ("enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_tidscan")
_TO_THE_TABLE = (*_THROUGH_THE_INDEX, "enable_indexonlyscan")
_THROUGH_THE_TABLE = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")


@dataclass(frozen=True, slots=True)
class _Key:
    """One key column, with the operators of its operator class."""

    expression: str
    less: str
    equal: str
    greater: str
    is_descending: bool
    has_nulls_first: bool
    is_text: bool

    @property
    def by_its_bytes(self) -> str:
        """For a hash: whatever its collation, or a type like citext, takes for equal."""
        return f'({self.expression})::text COLLATE "C"' if self.is_text else self.expression

    @property
    def ordering(self) -> str:
        """As ORDER BY takes it: what the index gives without a sort."""
        nulls = "FIRST" if self.has_nulls_first else "LAST"
        return f"{self.expression} USING {self.towards} NULLS {nulls}"

    @property
    def towards(self) -> str:
        return self.greater if self.is_descending else self.less

    @property
    def against(self) -> str:
        return self.less if self.is_descending else self.greater

    def is_after(self, one: str, other: str) -> str:
        """SQL: whether the key ``one`` has to stand behind ``other``."""
        null, value = (other, one) if self.has_nulls_first else (one, other)
        nulls = f"{null} IS NULL AND {value} IS NOT NULL"
        return f"({nulls} OR coalesce({one} {self.against} {other}, false))"

    def is_same(self, one: str, other: str) -> str:
        both = f"{one} IS NULL AND {other} IS NULL"
        return f"({both} OR coalesce({one} {self.equal} {other}, false))"


@dataclass(frozen=True, slots=True)
class _Index:
    index_id: int
    table_id: int
    name: str
    table_schema: str
    table_name: str
    keys: list[dict[str, str | bool]]
    predicate: str | None
    is_collated: bool
    is_hashed_by_types: bool

    @property
    def columns(self) -> list[_Key]:
        return [_Key(**key) for key in self.keys]  # type: ignore[arg-type]  # as the statement has it

    @property
    def is_out_of_order(self) -> sql.SQL:
        """Whether a predecessor p1, p2, … has to stand behind k1, k2, …: column by column."""
        found = "false"
        for number, key in reversed(list(enumerate(self.columns, 1))):
            one, other = f"e.p{number}", f"e.k{number}"
            further = f"{key.is_same(one, other)} AND {found}"
            found = f"({key.is_after(one, other)} OR {further})"
        return from_catalog(found)

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(self.table_schema, self.table_name)

    @property
    def table_label(self) -> str:
        return f"{self.table_schema}.{self.table_name}"

    @property
    def hash(self) -> sql.Composed:
        """SQL: 64 bits of a row's key.

        The hash of a ROW is a linear one of its columns': without the second one, the sum over all
        rows would be the same whichever of the columns' values stand together.
        """
        if self.is_hashed_by_types:
            columns = _listed(key.by_its_bytes for key in self.columns)
            of_row = sql.SQL("hash_record_extended(ROW({}), 0::bigint)").format(columns)
            return sql.SQL("hashint4extended(0, {})").format(of_row)
        columns = _listed(key.expression for key in self.columns)
        return sql.SQL("hashtextextended(ROW({})::text, 0::bigint)").format(columns)

    @property
    def condition(self) -> sql.SQL:
        return from_catalog(self.predicate or "true")


def check_with_amcheck(connection: Connection) -> Examined:
    """Run bt_index_check on every B-tree index; nothing where amcheck is not for this role."""
    found = connection.execute(statement("backups/function_schema")).fetchone()
    if found is None:
        return Examined(0, unsaid=("amcheck is not installed for this role",))
    query = statement("backups/check_index").format(
        function=sql.Identifier(found[0], "bt_index_check")
    )
    notes = Notes(CHECK)
    sorts_otherwise = _sorts_otherwise(connection)
    indexes = _indexes(connection)
    for index in indexes:
        try:
            connection.execute(query, {"index_id": index.index_id})
        except psycopg.errors.IndexCorrupted as error:
            _note_order(notes, index, str(error).strip(), sorts_otherwise=sorts_otherwise)
        except psycopg.Error as error:
            notes.failed(index.name, error)
    return notes.examined(len(indexes))


def _sorts_otherwise(connection: Connection) -> bool:
    """Whether this machine has another version of a collation than the data were sorted by."""
    return bool(connection.execute(statement("backups/collations")).fetchall())


def _note_order(notes: Notes, index: _Index, problem: str, *, sorts_otherwise: bool) -> None:
    if sorts_otherwise and index.is_collated:
        notes.left_open(index.name, f"{problem}; this machine sorts text by another version")
    else:
        notes.wrong(index.name, problem)


@dataclass(frozen=True, slots=True)
class _Expected:
    """What an index should hold, by its table: keys, and places of rows."""

    keys: _Content
    places: _Content


def check_against_tables(connection: Connection) -> Examined:
    """Compare what each index says with what its table says; which could not be is named.

    The connection must be a superuser's, in autocommit, to a copy that nobody else uses: the
    other indexes of a table are hidden from the planner, in a transaction that is rolled back.
    """
    tables = [list(group) for _, group in groupby(_indexes(connection), key=lambda i: i.table_id)]
    waiting = SimpleQueue[list[_Index]]()
    for indexes in tables:
        waiting.put(indexes)
    with ExitStack() as stack:
        url = connection.info.dsn
        others = [stack.enter_context(connect_to_copy(url)) for _ in tables[1:_WORKERS]]
        pool = stack.enter_context(ThreadPoolExecutor(_WORKERS, thread_name_prefix="index"))
        look = partial(_look, waiting=waiting, sorts_otherwise=_sorts_otherwise(connection))
        looks = [pool.submit(look, each) for each in (connection, *others)]
        notes = [look.result() for look in looks]
    return Examined(
        examined=sum(compared for _, compared in notes),
        findings=tuple(sorted((f for n, _ in notes for f in n.findings), key=str)),
        undecided=tuple(sorted((f for n, _ in notes for f in n.undecided), key=str)),
        unsaid=(*sorted(said for n, _ in notes for said in n.unsaid), *_not_looked_at(connection)),
    )


def _not_looked_at(connection: Connection) -> list[str]:
    """Indexes of other kinds: nobody compares them with their tables."""
    return [
        f"{', '.join(names)} ({kind}): nothing but the checksums of their blocks"
        for kind, names in connection.execute(statement("backups/other_indexes")).fetchall()
    ]


def _look(
    connection: Connection, waiting: SimpleQueue[list[_Index]], *, sorts_otherwise: bool
) -> tuple[Notes, int]:
    """Look at one table after the other, until none waits; how many indexes could be compared."""
    notes = Notes(CHECK)
    compared = 0
    while True:
        try:
            indexes = waiting.get_nowait()
        except Empty:
            return notes, compared
        try:
            expected = _read_heap(connection, indexes)
        except psycopg.Error as error:
            notes.failed(indexes[0].table_label, error)
            continue
        for index, content in zip(indexes, expected, strict=True):
            try:
                compared += _compare(
                    connection, index, content, notes, sorts_otherwise=sorts_otherwise
                )
            except psycopg.Error as error:
                notes.failed(index.name, error)


def _compare(
    connection: Connection,
    index: _Index,
    expected: _Expected,
    notes: Notes,
    *,
    sorts_otherwise: bool,
) -> bool:
    """Read an index in both ways; whether PostgreSQL reads rows by it at all."""
    keys = _by_index(connection, index, _query_of_keys(index), _THROUGH_THE_INDEX)
    if keys is None:
        notes.unsaid.append(f"{index.name}: its order, for PostgreSQL reads no rows by it")
        return False
    content = int(keys[0]), int(keys[1])
    if content != expected.keys:
        notes.wrong(index.name, _difference(index, expected.keys, content))
        return True
    followed = _by_index(connection, index, _query_of_pointers(index), _TO_THE_TABLE)
    if followed is None:
        notes.unsaid.append(f"{index.name}: its pointers, for PostgreSQL does not follow them")
        return True
    if followed[2]:
        problem = f"{followed[2]} of the rows that it leads to are out of its order"
        _note_order(notes, index, problem, sorts_otherwise=sorts_otherwise)
    elif (int(followed[0]), int(followed[1])) != expected.places:
        notes.wrong(index.name, f"it does not lead to each row of {index.table_label} once")
    return True


def _indexes(connection: Connection) -> list[_Index]:
    with connection.cursor(row_factory=class_row(_Index)) as cursor:
        return cursor.execute(statement("backups/btree_indexes")).fetchall()


def _read_heap(connection: Connection, indexes: Sequence[_Index]) -> list[_Expected]:
    """Rows and hashes that each index of one table should have, from a single scan."""
    columns = [
        sql.SQL(
            "count(*) FILTER (WHERE {condition}),"
            " coalesce(sum({hash}) FILTER (WHERE {condition}), 0),"
            " coalesce(sum(hashtid(ctid)) FILTER (WHERE {condition}), 0)"
        ).format(condition=index.condition, hash=index.hash)
        for index in indexes
    ]
    query = statement("backups/read_heap").format(
        columns=sql.SQL(", ").join(columns), table=indexes[0].table
    )
    with connection.transaction(force_rollback=True):
        _forbid(connection, _THROUGH_THE_TABLE)
        row = one_row(connection.execute(query))
    counts = [tuple(map(int, row[n : n + 3])) for n in range(0, len(row), 3)]
    return [_Expected((rows, keys), (rows, places)) for rows, keys, places in counts]


def _query_of_keys(index: _Index) -> sql.Composed:
    return statement("backups/read_index").format(
        hash=index.hash,
        table=index.table,
        predicate=index.condition,
        ordering=from_catalog(index.columns[0].ordering),
    )


def _query_of_pointers(index: _Index) -> sql.Composed:
    keys = index.columns
    return statement("backups/follow_index").format(
        keys=_listed(f"{key.expression} AS k{n}" for n, key in enumerate(keys, 1)),
        predecessors=_listed(f"lag(entry.k{n}) OVER () AS p{n}" for n in range(1, len(keys) + 1)),
        is_out_of_order=index.is_out_of_order,
        table=index.table,
        predicate=index.condition,
        ordering=_listed(key.ordering for key in keys),
    )


def _by_index(
    connection: Connection, index: _Index, query: sql.Composed, forbidden: Sequence[str]
) -> tuple[int, ...] | None:
    """The answer by way of one index; None when the planner does not go by it alone."""
    with connection.transaction(force_rollback=True):
        connection.execute(
            statement("backups/hide_other_indexes"),
            {"index_id": index.index_id, "table_id": index.table_id},
        )
        _forbid(connection, forbidden)
        # Several workers would be merged by a comparison that puts right what is wrong.
        connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        plan = one_row(connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + query))
        shown = json.dumps(plan[0])
        if '"Index Name"' not in shown or 'Sort"' in shown:
            return None
        return connection.execute(query).fetchone()


def _listed(parts: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(from_catalog(part) for part in parts)


def _difference(index: _Index, expected: _Content, found: _Content) -> str:
    if expected[0] == found[0]:
        return f"its {found[0]} entries are not what {index.table_label} holds"
    return f"{found[0]} entries, and {expected[0]} rows in {index.table_label}"


def _forbid(connection: Connection, ways: Sequence[str]) -> None:
    connection.execute(
        "SELECT set_config(forbidden.way, 'off', true) FROM unnest(%s::text[]) AS forbidden (way)",
        (list(ways),),
    )
