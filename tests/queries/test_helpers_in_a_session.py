"""What a session keeps of the helper functions' plans shows no row too few, and none too many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, LiteralString, TypeAlias
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from tests.fixtures.postgres import Database

HELPERS: Final[dict[str, LiteralString]] = {
    "content_of_thread": "SELECT created_at FROM content_of_thread(%(thread)s)",
    "newest_content": "SELECT created_at FROM newest_content(%(segments)s, 1000)",
    "content_sizes": "SELECT created_at FROM content_sizes(ARRAY[%(thread)s])",
}

MONTHS: Final = (1, 3, 24, 25)
"""In how many months the thread is at first: in few for itself, for the other two, and in more."""

PLANNED: Final = 3
FEW: Final = 24
OLDER: Final = 48
MOST: Final = 500
"""The most months that are planned for with each call: of a thread, and of the other two. Of a
thread, the most segments before its last 30 days, and the most in all, that one plan names."""

_INSERT: Final = """
INSERT INTO content_segments
(thread_id, user_id, content_type, sequence_number, text_content, created_at)
SELECT %(thread)s, %(user)s, 'text', count(k.id), 'told', %(moment)s
FROM content_segment_keys AS k
RETURNING id
"""

OF_STRANGERS: Final[LiteralString] = """
CREATE FUNCTION public.date_bin(text, timestamptz, text) RETURNS timestamptz
LANGUAGE plpgsql AS 'BEGIN RAISE ''a stranger was called''; END';
CREATE FUNCTION public.date_trunc(text, timestamptz, varchar) RETURNS timestamptz
LANGUAGE plpgsql AS 'BEGIN RAISE ''a stranger was called''; END';
"""
"""PostgreSQL takes a constant whose type is not written for a text, where a function has one."""

Thread: TypeAlias = dict[str, UUID | list[UUID]]


@pytest.fixture
def thread(connection: Connection) -> Thread:
    """A thread in which nothing was said yet, and whose family it is of."""
    user, thread = one_row(
        connection.execute(
            "WITH u AS (INSERT INTO users (clerk_id, email) VALUES ('c', 'e') RETURNING id),"
            " f AS (INSERT INTO families (name, owner_id) SELECT 'F', id FROM u RETURNING id),"
            " b AS (INSERT INTO memory_books (family_id, title, created_by)"
            " SELECT f.id, 'B', u.id FROM f, u RETURNING id),"
            " t AS (INSERT INTO threads (memory_book_id, started_by)"
            " SELECT b.id, u.id FROM b, u RETURNING id)"
            " SELECT u.id, t.id FROM u, t"
        )
    )
    return {"user": user, "thread": thread, "segments": []}


@pytest.fixture
def application(database: Database, thread: Thread) -> Iterator[psycopg.Connection]:
    """One session of the application, of the family's owner."""
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(
            "SELECT set_config('app.current_user_id', %s, false)", [str(thread["user"])]
        )
        yield session


def _tell(connection: Connection, thread: Thread, moment: str) -> None:
    segments = thread["segments"]
    assert isinstance(segments, list)
    told = connection.execute(_INSERT, {**thread, "moment": moment})
    segments.append(one_row(told)[0])


def _shown(session: psycopg.Connection, thread: Thread) -> set[int]:
    """How many segments the helpers show: one number while they agree."""
    return {len(session.execute(query, thread).fetchall()) for query in HELPERS.values()}


def _months(connection: Connection, thread: Thread, count: int) -> None:
    """The thread in so many months, the first of which is January of 2024."""
    for number in range(count):
        _tell(connection, thread, f"{2024 + number // 12}-{number % 12 + 1:02}-15 12:00:00+00")


@pytest.mark.parametrize("months", MONTHS)
def test_a_session_sees_what_becomes_of_a_month(
    connection: Connection,
    application: psycopg.Connection,
    thread: Thread,
    months: int,
) -> None:
    """One that is new, is told in late, moves to the archive, comes back, or is dropped."""
    _months(connection, thread, months)
    assert _shown(application, thread) == {months}  # each call keeps what plan it keeps
    connection.execute(
        "CREATE TABLE content_segments_2011_05 PARTITION OF content_segments"
        " FOR VALUES FROM ('2011-05-01 00:00:00+00') TO ('2011-06-01 00:00:00+00')"
    )
    _tell(connection, thread, "2011-05-31 23:59:59.999999+00")
    assert _shown(application, thread) == {months + 1}
    connection.execute("ALTER TABLE content_segments DETACH PARTITION content_segments_2024_01")
    connection.execute(
        "ALTER TABLE archived_content_segments ATTACH PARTITION content_segments_2024_01"
        " FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"
    )
    assert _shown(application, thread) == {months}
    connection.execute(
        "CREATE TABLE content_segments_2024_01_late PARTITION OF content_segments"
        " FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"
    )
    _tell(connection, thread, "2024-01-01 00:00:00+00")
    assert _shown(application, thread) == {months + 1}
    connection.execute("DROP TABLE content_segments_2024_01_late")
    connection.execute(
        "ALTER TABLE archived_content_segments DETACH PARTITION content_segments_2024_01"
    )
    connection.execute(
        "ALTER TABLE content_segments ATTACH PARTITION content_segments_2024_01"
        " FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"
    )
    assert _shown(application, thread) == {months + 1}
    connection.execute("DROP TABLE content_segments_2011_05")
    assert _shown(application, thread) == {months}


@pytest.mark.parametrize("months", MONTHS)
def test_a_snapshot_shows_what_was_there_when_it_was_taken(
    connection: Connection,
    application: psycopg.Connection,
    thread: Thread,
    months: int,
) -> None:
    _months(connection, thread, months)
    application.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    assert _shown(application, thread) == {months}
    _tell(connection, thread, "2026-11-10 12:00:00+00")
    assert _shown(application, thread) == {months}
    application.execute("COMMIT")
    assert _shown(application, thread) == {months + 1}


@pytest.mark.parametrize(
    ("older", "recent"), [(OLDER, 1), (OLDER + 1, 1), (OLDER, MOST - OLDER), (4, MOST - 3)]
)
@pytest.mark.parametrize("began", ["2024-02-10", "2025-06-10"])
def test_each_of_many_segments_is_shown(
    connection: Connection,
    application: psycopg.Connection,
    thread: Thread,
    began: str,
    older: int,
    recent: int,
) -> None:
    """On both sides of the limits: told over years or within one, in a few months and of late."""
    connection.execute(
        "WITH told AS (INSERT INTO content_segments"
        " (thread_id, user_id, content_type, sequence_number, text_content, created_at)"
        " SELECT %(thread)s, %(user)s, 'text', n, 'told', n * interval '1 min' + CASE"
        " WHEN n > %(older)s THEN '2026-02-20'::timestamptz"
        " ELSE %(began)s::timestamptz + n %% 4 * interval '31 d' END"
        " FROM generate_series(1, %(older)s + %(recent)s) AS n)"
        " SELECT",
        {**thread, "began": began, "older": older, "recent": recent},
    )
    keys = connection.execute("SELECT id FROM content_segment_keys").fetchall()
    told = {**thread, "segments": [key for (key,) in keys]}
    assert _shown(application, told) == {older + recent}


@pytest.mark.parametrize("months", [1, PLANNED + 1, FEW + 1])
def test_a_role_without_rights_is_refused(
    database: Database, connection: Connection, thread: Thread, months: int
) -> None:
    _months(connection, thread, months)
    with psycopg.connect(database.admin_url) as admin:  # whose transaction ends undone
        admin.execute("CREATE ROLE stranger")
        admin.execute("SET LOCAL ROLE stranger")
        for query in HELPERS.values():
            with pytest.raises(errors.InsufficientPrivilege), admin.transaction():
                admin.execute(query, thread)
        admin.rollback()


@pytest.mark.parametrize("months", [2, PLANNED + 1, FEW + 1])
def test_what_others_may_create_is_not_called(
    database: Database,
    connection: Connection,
    application: psycopg.Connection,
    thread: Thread,
    months: int,
) -> None:
    """Functions in public, which a constant without a type would be taken to."""
    _months(connection, thread, months)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(OF_STRANGERS)
    application.execute("SET search_path = public, pg_catalog")
    assert _shown(application, thread) == {months}
