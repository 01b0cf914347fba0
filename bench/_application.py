"""An application at work, to be disturbed: sessions as ft_app that read, write and take notes.

Each session is a process of its own: ``python -m bench._application URL SEED``. It works until its
standard input closes, then prints what it measured as JSON.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from ft_ops.pg.connect import Connection, connect

# No wait for a lock may be longer; one that is becomes an error, and errors are counted.
LOCK_TIMEOUT: Final = "100ms"
_PAUSE_SECONDS: Final = 0.004
_WRITERS: Final = """
    SELECT fm.user_id, t.id
    FROM family_members AS fm
    JOIN memory_books AS mb ON mb.family_id = fm.family_id
    JOIN threads AS t ON t.memory_book_id = mb.id
    WHERE fm.is_active
      AND fm.role IN ('owner', 'admin', 'editor', 'member')
      AND t.id >= gen_random_uuid()
    ORDER BY t.id
    LIMIT 500
"""
_READ: Final = """
    SELECT id, created_at, text_content
    FROM content_segments
    WHERE thread_id = %(thread)s AND NOT is_deleted
    ORDER BY sequence_number
    LIMIT 50
"""
_INSERT: Final = """
    INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number, text_content)
    VALUES (%(thread)s, %(user)s, 'text', %(number)s, repeat('A memory. ', 20))
"""
_UPDATE: Final = """
    UPDATE content_segments
    SET view_count = view_count + 1
    WHERE thread_id = %(thread)s AND created_at >= now() - interval '1 day'
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One statement: when it began, on the machine's monotonic clock, and its milliseconds."""

    began: float
    milliseconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when something went on, on the machine's monotonic clock."""

    began: float
    ended: float


def percentile(requests: Sequence[Request], spans: Sequence[Span], share: float) -> float:
    """That percentile of the milliseconds of the requests that began within the spans."""
    found = sorted(
        request.milliseconds
        for request in requests
        if any(span.began <= request.began <= span.ended for span in spans)
    )
    return found[int(len(found) * share)]


@contextmanager
def application(url: str, *, sessions: int) -> Iterator[Callable[[], list[Request]]]:
    """Let ``sessions`` work during a block; the function that it gets ends them and tells."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench._application", url, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(sessions)
    ]

    def end() -> list[Request]:
        told = [process.communicate(timeout=60)[0] for process in processes]
        return [Request(*request) for text in told for request in json.loads(text)]

    try:
        yield end
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main(url: str, seed: str) -> None:
    chance = random.Random(int(seed))
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    requests: list[Request] = []
    operations = url.replace("ft_app@", "ft_ops@")
    with connect(operations, application="bench") as connection:
        writers = connection.execute(_WRITERS).fetchall()
    settings = {"lock_timeout": LOCK_TIMEOUT, "row_security": "on"}
    with connect(url, application="the application", settings=settings) as connection:
        while not over.is_set():
            user, thread = chance.choice(writers)
            connection.execute("SELECT set_config('app.current_user_id', %s, false)", (str(user),))
            query = chance.choices((_READ, _INSERT, _UPDATE), (6, 2, 2))[0]
            values = {"user": user, "thread": thread, "number": chance.getrandbits(30)}
            requests.append(_request(connection, query, values))
            over.wait(_PAUSE_SECONDS)
    print(json.dumps([(r.began, r.milliseconds, r.error) for r in requests]))


def _request(connection: Connection, query: str, values: dict[str, object]) -> Request:
    began = time.monotonic()
    error = None
    try:
        cursor = connection.execute(psycopg.sql.SQL(query), values)
        if cursor.description:
            cursor.fetchall()
    except psycopg.Error as problem:
        error = str(problem).splitlines()[0]
    return Request(began, (time.monotonic() - began) * 1000, error)


if __name__ == "__main__":
    main(*sys.argv[1:])
