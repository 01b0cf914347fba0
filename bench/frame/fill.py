"""Fills the databases of a run: the sample, written by two sessions as a replica applies changes.

Checking references and noting changes for storage would take as long as everything else. The rows
are those that `make_sample` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from psycopg import conninfo, sql

from ft_ops.pg.connect import Connection, connect
from ft_ops.sandbox.sample import CONTENT, SamplePlan, fill_scratch, insert_month, insert_people

SESSIONS: Final = 2
"""That write side by side: one session keeps one core busy."""

_KEYS: Final = """
    INSERT INTO content_segment_keys (id, created_at, thread_id, sequence_number)
    SELECT id, created_at, thread_id, sequence_number
    FROM content_segments
    WHERE created_at >= %(start)s
      AND created_at < %(end)s
"""


_INDEXES: Final = """
    SELECT c.relname, replace(pg_get_indexdef(c.oid), ' ON ONLY ', ' ON ')
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_class AS t ON t.oid = i.indrelid
    WHERE c.relnamespace = 'public'::regnamespace
      AND NOT c.relispartition
      AND NOT i.indisunique
    ORDER BY t.relname IN ('threads', 'content_segments') DESC, c.relname
"""

_Task = Callable[[Connection], object]


def fill(url: str, sample: SamplePlan) -> None:
    """Write the sample into an empty schema that has its partitions."""
    months = range(len(sample.spans))
    with unnoted(url), ExitStack() as stack:
        sessions = [stack.enter_context(unchecked(url)) for _ in range(SESSIONS)]
        indexes = _drop_indexes(sessions[0])
        with ThreadPoolExecutor(SESSIONS) as pool:
            list(pool.map(partial(_prepare, sample=sample), sessions))
        people: list[_Task] = [partial(insert_people, sample=sample)]
        content: list[_Task] = [partial(_insert_month, sample=sample, month=m) for m in months]
        # Links lead to segments of any month before, by their keys.
        links: list[_Task] = [
            partial(insert_month, sample=sample, table="content_links", index=m) for m in months
        ]
        _side_by_side(sessions, people + content)
        _side_by_side(sessions, links)
        _side_by_side(sessions, indexes)
        for session in sessions:
            # The end of a session would drop its scratch under the VACUUM that follows.
            session.execute("DISCARD TEMP")


@contextmanager
def unchecked(url: str) -> Iterator[Connection]:
    """A connection that writes as a replica applies changes: no reference is checked."""
    with connect(conninfo.make_conninfo(url, user="postgres"), application="bench") as admin:
        admin.execute("SET session_replication_role = replica")
        yield admin


@contextmanager
def unnoted(url: str) -> Iterator[None]:
    """Storage notes nothing that is inserted, which took as long as the inserting.

    A month that it has never counted is counted anyway.
    """
    noting = "TRIGGER note_inserted_content"
    with connect(conninfo.make_conninfo(url, user="postgres"), application="bench") as admin:
        admin.execute(f"ALTER TABLE content_segments DISABLE {noting}")
        try:
            yield
        finally:
            admin.execute(f"ALTER TABLE content_segments ENABLE ALWAYS {noting}")


def _drop_indexes(connection: Connection) -> list[_Task]:
    """Drop the indexes that no constraint needs; the tasks that make them anew.

    To build an index of what is there takes a fraction of keeping it up row by row.
    """
    found = connection.execute(_INDEXES).fetchall()
    for name, _ in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [partial(_build, definition=definition) for _, definition in found]


def _build(connection: Connection, definition: str) -> None:
    connection.execute(definition.encode())


def _prepare(connection: Connection, sample: SamplePlan) -> None:
    connection.execute("SET work_mem = '256MB'")
    connection.execute("SET maintenance_work_mem = '512MB'")
    connection.execute("SET jit = off")
    fill_scratch(connection, sample)


def _insert_month(connection: Connection, sample: SamplePlan, month: int) -> None:
    for table in CONTENT:
        if table == "content_links":
            continue
        insert_month(connection, sample, table, month)
        if table == "content_segments":
            span = sample.spans[month]
            connection.execute(_KEYS, {"start": span.start, "end": span.end})


def _side_by_side(sessions: Iterable[Connection], tasks: Sequence[_Task]) -> None:
    """Each session takes the next task when it has done one."""
    left = iter(tasks)

    def work(session: Connection) -> None:
        for task in left:
            task(session)

    with ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(work, sessions))
