"""Sessions that count side by side, all of them by one snapshot.

A single session would leave the other cores idle: PostgreSQL does not parallelise a grouping
with about as many groups as rows. What differs comes back as COPY's binary stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

from psycopg import IsolationLevel, sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.session import stay_open
from ft_ops.pg.sqlfiles import statement

OpenSession: TypeAlias = Callable[[], AbstractContextManager[Connection]]

Query: TypeAlias = sql.SQL | sql.Composed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Readers:
    """Sessions that stand in one snapshot, handed out to one query at a time."""

    pool: ThreadPoolExecutor
    idle: SimpleQueue[Connection]

    def copy_out(self, query: Query) -> Future[list[bytes]]:
        """Begin a COPY … TO STDOUT; its stream comes as a list of blocks."""
        return self.pool.submit(self._copy_out, query)

    def _copy_out(self, query: Query) -> list[bytes]:
        session = self.idle.get()
        try:
            with session.cursor().copy(query) as copy:
                return [bytes(block) for block in copy]
        finally:
            self.idle.put(session)


@contextmanager
def readers_of(connection: Connection, open_session: OpenSession, count: int) -> Iterator[Readers]:
    """``count`` sessions in the snapshot of the transaction that is open on ``connection``."""
    row = one_row(connection.execute(statement("storage/export_snapshot")))
    with ExitStack() as stack:
        idle: SimpleQueue[Connection] = SimpleQueue()
        for _ in range(count):
            session = stack.enter_context(open_session())
            session.isolation_level = IsolationLevel.REPEATABLE_READ
            stack.enter_context(session.transaction())
            session.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(row[0])))
            # Each waits for the others between its queries and at the end.
            stay_open(session)
            # Room for the groups of MOST_BYTES_AT_ONCE; compiling the plan would take longer
            # than it gains.
            session.execute("SET LOCAL work_mem = '96MB'")
            session.execute("SET LOCAL jit = off")
            idle.put(session)
        with ThreadPoolExecutor(count, thread_name_prefix="storage") as pool:
            try:
                yield Readers(pool, idle)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def in_order(
    readers: Readers, wanted: Iterable[tuple[T, Query]], *, ahead: int
) -> Iterator[tuple[T, list[bytes]]]:
    """Each query's stream with its key, in order; at most ``ahead`` are under way or waiting."""
    begun: list[tuple[T, Future[list[bytes]]]] = []
    for key, query in wanted:
        begun.append((key, readers.copy_out(query)))
        if len(begun) == ahead:
            first, stream = begun.pop(0)
            yield first, stream.result()
    for last, stream in begun:
        yield last, stream.result()
