"""Inserting segments with the registry of their keys, against the same without it.

The registry is a row trigger that writes a narrow row with two unique indexes. It is measured in
one statement of many rows, where it costs most, and in transactions of one row each, as the
application inserts. The reference is the same table in a copy of the database, with that trigger
disabled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

from bench.frame import BenchContext, Result, alternating, seconds
from ft_ops.pg.connect import Connection, connect

GOAL = 1.6
THREADS = 1000
NEW_THREADS = """
    CREATE TABLE ops.bench_threads AS
    WITH made AS (
        INSERT INTO threads (memory_book_id, started_by)
        SELECT id, created_by FROM memory_books ORDER BY id LIMIT %s
        RETURNING id, started_by
    )
    SELECT row_number() OVER () - 1 AS number, id, started_by FROM made
"""
BULK = """
    INSERT INTO content_segments
        (thread_id, user_id, content_type, sequence_number, text_content, created_at)
    SELECT t.id, t.started_by, 'text', %(turn)s + n, repeat('It was a long summer. ', 23), %(at)s
    FROM generate_series(1, %(rows)s / %(threads)s) AS n
    CROSS JOIN ops.bench_threads AS t
"""
SINGLE = """
    INSERT INTO content_segments
        (thread_id, user_id, content_type, sequence_number, text_content, created_at)
    SELECT t.id, t.started_by, 'text', %(turn)s, repeat('It was a long summer. ', 23), %(at)s
    FROM ops.bench_threads AS t
    WHERE t.number = %(number)s
"""


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    rows = 2_000 if context.is_quick else 50_000
    transactions = 200 if context.is_quick else 2_000
    moment = template.last.start
    turns = count(1_000_000, 10_000)

    def bulk(connection: Connection) -> None:
        connection.execute(
            BULK, {"turn": next(turns), "rows": rows, "threads": THREADS, "at": moment}
        )

    def singles(connection: Connection) -> None:
        for number in range(transactions):
            connection.execute(
                SINGLE,
                {"turn": next(turns), "number": number % THREADS, "at": moment},
                prepare=True,
            )

    with ExitStack() as stack:
        connections = {}
        for name in ("with", "without"):
            url = stack.enter_context(context.clone(template))
            connections[name] = stack.enter_context(connect(url, application="bench"))
            connections[name].execute(NEW_THREADS, (THREADS,))
        connections["without"].execute("ALTER TABLE content_segments DISABLE TRIGGER register_key")
        for suffix, insert, size in (
            ("", bulk, f"{rows:,} rows in a statement"),
            ("_single", singles, f"{transactions:,} transactions of one row"),
        ):
            found = alternating(
                {name: _timed(insert, c) for name, c in connections.items()},
                repetitions=context.sizes.repetitions,
            )
            yield Result.comparing(
                found["with"],
                found["without"],
                name=f"registry{suffix}",
                work="insert segments with the registry of their keys",
                against="without it",
                goal=GOAL,
                size=size,
            )


def _timed(insert: Callable[[Connection], None], connection: Connection) -> Callable[[], float]:
    return lambda: seconds(lambda: insert(connection))
