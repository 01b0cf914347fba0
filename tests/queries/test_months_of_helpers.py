"""The helper functions of the queries find a segment in any month, and open few others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString, TypeAlias
from uuid import UUID, uuid4

import psycopg
import pytest

from ft_ops.months import Month
from ft_ops.partitions import partition_name
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.rows import one_row
from tests.fixtures.postgres import Database, cloned

# One database for all of them.
pytestmark = pytest.mark.xdist_group("months of helpers")

Told: TypeAlias = dict[str, UUID | list[UUID]]

MOMENTS: Final = (
    "2024-02-01 00:00:00+00",
    "2024-02-29 23:59:59.999999+00",
    "2024-03-01 00:00:00+00",
    "2024-03-10 07:30:00+00",
    "2024-03-31 23:59:59.999999+00",
)
"""The ends of two months, in one of which New York sets its clocks."""

FEW: Final = 24
"""The most months that a list or a search plans for with each call; in more, by a plan over all."""

PLANNED: Final = 3
"""The most months that a thread is planned for with each call."""

LEFT_OUT: Final = 12
"""Of the months in a row, one in which nothing was said."""


OLDER: Final = 48
"""The most segments before a thread's last 30 days that the plan over all months names."""


def _partition(moment: str) -> str:
    return partition_name("content_segments", Month.of(datetime.fromisoformat(moment)))


def _in_months(count: int) -> tuple[str, ...]:
    """Moments in so many months, one in each, and none in one between them."""
    first = datetime(2024, 1, 10, 12, tzinfo=UTC)
    numbers = (number for number in range(count + 1) if number != LEFT_OUT)
    return tuple((first + number * timedelta(days=31)).isoformat() for number in numbers)


def _often(older: int) -> tuple[str, ...]:
    """Moments in one month more than a thread is planned for, so many of them of long ago."""
    first = datetime(2024, 2, 10, tzinfo=UTC)
    often = [(first + number * timedelta(minutes=1)).isoformat() for number in range(older - 2)]
    return (*often, "2024-06-10 12:00:00+00", "2024-06-11 12:00:00+00", *_LATE)


_AGAIN: Final = ("2026-08-21 12:00:00+00", "2026-09-20 12:00:00+00")
"""Thirty days apart, to the second."""

_LATE: Final = ("2025-05-31 23:59:59+00", "2025-06-01 00:00:00+00", "2025-06-09 12:00:00+00")

_TODAY: Final = datetime.now(UTC).isoformat()

TOLD: Final = {
    "within a year": MOMENTS,
    "in few months": _in_months(FEW),
    "in more": _in_months(FEW + 1),
    "in more, and again after a pause": (*_in_months(FEW + 1), _TODAY),
    "begun long ago, told of late": (
        "2024-02-01 00:00:00+00",
        *(f"2026-01-31 23:59:{second}+00" for second in range(60 - FEW, 60)),
        "2026-02-01 00:00:00+00",
    ),
    "often, long ago": _often(OLDER),
    "more often, long ago": _often(OLDER + 1),
    "more often, and again after a pause": (*_often(OLDER + 1), *_AGAIN),
}
assert len({m[:7] for m in _often(OLDER)}) == PLANNED + 1

ALL_BETWEEN: Final = {
    ("in more", "newest_content"),
    ("in more", "content_sizes"),
    ("in more, and again after a pause", "newest_content"),
    ("in more, and again after a pause", "content_sizes"),
    ("more often, long ago", "content_of_thread"),
    ("more often, and again after a pause", "content_of_thread"),
}
"""Where all months from the oldest to the newest segment are opened, but for a pause."""


def _opened_of(reach: str, helper: str) -> set[str]:
    """The months of a thread's segments; for a list or a search, those between in a year too."""
    moments = [datetime.fromisoformat(moment) for moment in TOLD[reach]]
    opened = {Month.of(moment) for moment in moments}
    if (reach, helper) in ALL_BETWEEN:
        last = max(moments) if helper == "content_of_thread" else datetime.now(UTC)
        recent = [moment for moment in moments if moment >= last - timedelta(days=30)]
        for stretch in filter(None, ([m for m in moments if m not in recent], recent)):
            opened.update(Month.of(min(stretch)).until(Month.of(max(stretch))))
    elif helper != "content_of_thread":
        between = min(opened).until(max(opened))
        opened |= {month for month in between if _is_between(month, list(opened))}
    return {partition_name("content_segments", month) for month in opened}


def _is_between(month: Month, others: list[Month]) -> bool:
    of_year = [other for other in others if other.start.year == month.start.year]
    return bool(of_year) and min(of_year) < month < max(of_year)


HELPERS: Final[dict[str, LiteralString]] = {
    "content_of_thread": "SELECT created_at FROM content_of_thread(%(thread)s)",
    "newest_content": "SELECT created_at FROM newest_content(%(segments)s, 1000)",
    "content_sizes": "SELECT created_at FROM content_sizes(ARRAY[%(thread)s])",
}

OPENED: Final = """
SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text
FROM pg_locks AS l
JOIN pg_index AS i ON i.indexrelid = l.relation
JOIN pg_inherits AS p ON p.inhrelid = i.indrelid
WHERE l.pid = pg_backend_pid()
  AND p.inhparent = 'content_segments'::regclass
"""
"""The months whose indexes this transaction has opened, and these: a plan that is kept opens no
others."""


@pytest.fixture(params=TOLD)
def reach(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def database(template: Database, worker_id: str) -> Iterator[Database]:
    """One for all of these tests, which leave it as it is."""
    with cloned(template, worker_id) as made:
        yield made


@pytest.fixture(scope="module")
def all_told(database: Database) -> dict[str, Told]:
    with connect(database.url, application="tests") as connection:
        return {reach: _tell(connection, reach, TOLD[reach]) for reach in TOLD}


@pytest.fixture
def told(all_told: dict[str, Told], reach: str) -> Told:
    """A thread with a segment at each of these moments, among others; and the segments' ids."""
    return all_told[reach]


def _tell(connection: Connection, name: str, within: Sequence[str]) -> Told:
    user, thread, other = one_row(
        connection.execute(
            "WITH u AS (INSERT INTO users (clerk_id, email) VALUES (%(name)s, %(name)s)"
            " RETURNING id),"
            " f AS (INSERT INTO families (name, owner_id) SELECT 'F', id FROM u RETURNING id),"
            " b AS (INSERT INTO memory_books (family_id, title, created_by)"
            " SELECT f.id, 'B', u.id FROM f, u RETURNING id),"
            " t AS (INSERT INTO threads (memory_book_id, started_by)"
            " SELECT b.id, u.id FROM b, u, generate_series(1, 2) RETURNING id)"
            " SELECT (SELECT id FROM u), min(id::text)::uuid, max(id::text)::uuid FROM t",
            {"name": name},
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
    connection: Connection, told: Told, helper: str
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
    connection: Connection, told: Told, reach: str, helper: str
) -> None:
    connection.execute(HELPERS[helper], told)  # planning opens all of them, once a session
    with connection.transaction():
        assert connection.execute(HELPERS[helper], told).fetchall()
        opened = connection.execute(OPENED).fetchall()
    assert {month for month, _ in opened} == _opened_of(reach, helper)
    if (reach, helper) in ALL_BETWEEN:  # by ids: a month may hold much between two moments
        assert {index for _, index in opened} == {f"{month}_pkey" for month, _ in opened}


def test_the_newest_segments_come_first_and_no_more_than_asked_for(
    connection: Connection, told: Told, reach: str
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
    database: Database, told: Told, helper: str
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
    connection: Connection, told: Told, helper: str
) -> None:
    """Which no write of the application makes: the registry says what a thread has."""
    segments = told["segments"]
    assert isinstance(segments, list)
    lost = {"lost": segments[1]}
    with connection.transaction(force_rollback=True):
        connection.execute("DELETE FROM content_segment_keys WHERE id = %(lost)s", lost)
        there = connection.execute("SELECT FROM content_segments WHERE id = %(lost)s", lost)
        assert there.rowcount == 1
        assert len(connection.execute(HELPERS[helper], told).fetchall()) == len(segments) - 1
