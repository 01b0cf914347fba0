"""The helper functions of the queries find a segment in any month, and open few others."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

import pytest

from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row

MOMENTS: Final = (
    "2024-02-01 00:00:00+00",
    "2024-02-29 23:59:59.999999+00",
    "2024-03-01 00:00:00+00",
    "2024-03-10 07:30:00+00",
    "2024-03-31 23:59:59.999999+00",
)
"""The ends of two months, in one of which New York sets its clocks."""

MONTHS: Final = {"content_segments_2024_02", "content_segments_2024_03"}

HELPERS: Final[dict[str, LiteralString]] = {
    "content_of_thread": "SELECT created_at FROM content_of_thread(%(thread)s)",
    "newest_content": "SELECT created_at FROM newest_content(%(segments)s, 50)",
    "content_sizes": "SELECT created_at FROM content_sizes(ARRAY[%(thread)s])",
}

OPENED: Final = """
SELECT DISTINCT i.indrelid::regclass::text
FROM pg_locks AS l
JOIN pg_index AS i ON i.indexrelid = l.relation
JOIN pg_inherits AS p ON p.inhrelid = i.indrelid
WHERE l.pid = pg_backend_pid()
  AND p.inhparent = 'content_segments'::regclass
"""
"""The months whose indexes this transaction has opened: a plan that is kept opens no others."""


@pytest.fixture
def told(connection: Connection) -> dict[str, UUID | list[UUID]]:
    """A thread with a segment at each of these moments, among others; and the segments' ids."""
    user, thread, other = one_row(
        connection.execute(
            "WITH u AS (INSERT INTO users (clerk_id, email) VALUES ('c', 'e') RETURNING id),"
            " f AS (INSERT INTO families (name, owner_id) SELECT 'F', id FROM u RETURNING id),"
            " b AS (INSERT INTO memory_books (family_id, title, created_by)"
            " SELECT f.id, 'B', u.id FROM f, u RETURNING id),"
            " t AS (INSERT INTO threads (memory_book_id, started_by)"
            " SELECT b.id, u.id FROM b, u, generate_series(1, 2) RETURNING id)"
            " SELECT (SELECT id FROM u), min(id::text)::uuid, max(id::text)::uuid FROM t"
        )
    )
    moments = [(thread, moment) for moment in MOMENTS] + [(other, "2024-05-01 12:00:00+00")]
    segments = [
        one_row(
            connection.execute(
                "INSERT INTO content_segments"
                " (thread_id, user_id, content_type, sequence_number, text_content, created_at)"
                " VALUES (%s, %s, 'text', %s, 'told', %s) RETURNING id",
                [of, user, number, moment],
            )
        )[0]
        for number, (of, moment) in enumerate(moments)
    ]
    return {"thread": thread, "segments": segments[: len(MOMENTS)]}


@pytest.mark.parametrize("helper", HELPERS)
def test_a_segment_at_the_end_of_a_month_is_found(
    connection: Connection, told: dict[str, UUID | list[UUID]], helper: str
) -> None:
    connection.execute("SET TimeZone = 'America/New_York'")
    found = connection.execute(HELPERS[helper], told).fetchall()
    expected = connection.execute(
        "SELECT created_at FROM content_segments WHERE thread_id = %(thread)s", told
    ).fetchall()
    assert len(expected) == len(MOMENTS)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("helper", HELPERS)
def test_only_the_months_of_the_segments_are_opened(
    connection: Connection, told: dict[str, UUID | list[UUID]], helper: str
) -> None:
    connection.execute(HELPERS[helper], told)  # planning opens all of them, once a session
    with connection.transaction():
        assert connection.execute(HELPERS[helper], told).fetchall()
        opened = {name for (name,) in connection.execute(OPENED)}
    assert opened == MONTHS
