"""The helper functions of the queries find a segment in any month, and open few others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from ft_ops.months import Month
from ft_ops.partitions import partition_name
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from tests.fixtures.postgres import Database

MOMENTS: Final = (
    "2024-02-01 00:00:00+00",
    "2024-02-29 23:59:59.999999+00",
    "2024-03-01 00:00:00+00",
    "2024-03-10 07:30:00+00",
    "2024-03-31 23:59:59.999999+00",
)
"""The ends of two months, in one of which New York sets its clocks."""

FEW: Final = 24
"""The most months that a helper plans for with each call. In more it reads by a plan over all."""

LEFT_OUT: Final = 12
"""Of the months in a row, one in which nothing was said."""


OLDER: Final = 240
"""The most segments before a thread's last 30 days that are found by their moments, over years."""


def _partition(moment: str) -> str:
    return partition_name("content_segments", Month.of(datetime.fromisoformat(moment)))


def _in_months(count: int) -> tuple[str, ...]:
    """Moments in so many months, one in each, and none in one between them."""
    first = datetime(2024, 1, 10, 12, tzinfo=UTC)
    numbers = (number for number in range(count + 1) if number != LEFT_OUT)
    return tuple((first + number * timedelta(days=31)).isoformat() for number in numbers)


TOLD: Final = {
    "within a year": MOMENTS,
    "in few months": _in_months(FEW),
    "in more": _in_months(FEW + 1),
    "begun long ago, told of late": (
        "2024-02-01 00:00:00+00",
        *(f"2026-01-31 23:59:{second}+00" for second in range(60 - FEW, 60)),
        "2026-02-01 00:00:00+00",
    ),
}

OPENED_OF: Final = {
    "within a year": {"content_segments_2024_02", "content_segments_2024_03"},
    "in few months": {_partition(moment) for moment in TOLD["in few months"]},
    "in more": {
        partition_name("content_segments", m) for m in Month(2024, 1).until(Month(2026, 2))
    },
    "begun long ago, told of late": {
        f"content_segments_{month}" for month in ("2024_02", "2026_01", "2026_02")
    },
}
"""The months of the segments; in more months, all from the oldest to the newest segment."""

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


@pytest.fixture(params=OPENED_OF)
def reach(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def told(connection: Connection, reach: str) -> dict[str, UUID | list[UUID]]:
    """A thread with a segment at each of these moments, among others; and the segments' ids."""
    within = TOLD[reach]
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
    moments = [(thread, moment) for moment in within] + [(other, "2026-05-01 12:00:00+00")]
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
    return {"user": user, "thread": thread, "segments": segments[: len(within)]}


@pytest.mark.parametrize("helper", HELPERS)
def test_a_segment_at_the_end_of_a_month_is_found(
    connection: Connection, told: dict[str, UUID | list[UUID]], helper: str
) -> None:
    connection.execute("SET TimeZone = 'America/New_York'")
    found = connection.execute(HELPERS[helper], told).fetchall()
    expected = connection.execute(
        "SELECT created_at FROM content_segments WHERE thread_id = %(thread)s", told
    ).fetchall()
    segments = told["segments"]
    assert isinstance(segments, list)
    assert len(expected) == len(segments)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("helper", HELPERS)
def test_only_the_months_of_the_segments_are_opened(
    connection: Connection, told: dict[str, UUID | list[UUID]], reach: str, helper: str
) -> None:
    connection.execute(HELPERS[helper], told)  # planning opens all of them, once a session
    with connection.transaction():
        assert connection.execute(HELPERS[helper], told).fetchall()
        opened = {name for (name,) in connection.execute(OPENED)}
    assert opened == OPENED_OF[reach]


def test_the_newest_segments_come_first_and_no_more_than_asked_for(
    connection: Connection, told: dict[str, UUID | list[UUID]], reach: str
) -> None:
    most = len(TOLD[reach]) // 2  # of several years where it reaches over a year
    found = connection.execute(
        "SELECT id FROM newest_content(%(segments)s, %(most)s)", {**told, "most": most}
    ).fetchall()
    segments = told["segments"]
    assert isinstance(segments, list)
    assert [segment for (segment,) in found] == segments[: -most - 1 : -1]


@pytest.mark.parametrize("helper", HELPERS)
def test_only_a_member_of_the_family_is_shown_a_segment(
    database: Database, told: dict[str, UUID | list[UUID]], helper: str
) -> None:
    seen = {}
    with psycopg.connect(database.app_url, autocommit=True) as application:
        for user in (told["user"], uuid4()):
            application.execute("SELECT set_config('app.current_user_id', %s, false)", [str(user)])
            seen[user] = len(application.execute(HELPERS[helper], told).fetchall())
    segments = told["segments"]
    assert isinstance(segments, list)
    assert list(seen.values()) == [len(segments), 0]


@pytest.mark.parametrize("helper", HELPERS)
def test_a_segment_without_a_key_is_shown_by_none(
    connection: Connection, told: dict[str, UUID | list[UUID]], helper: str
) -> None:
    """Which no write of the application makes: the registry says what a thread has."""
    segments = told["segments"]
    assert isinstance(segments, list)
    lost = {"lost": segments[1]}
    connection.execute("DELETE FROM content_segment_keys WHERE id = %(lost)s", lost)
    there = connection.execute("SELECT FROM content_segments WHERE id = %(lost)s", lost)
    assert there.rowcount == 1
    assert len(connection.execute(HELPERS[helper], told).fetchall()) == len(segments) - 1
