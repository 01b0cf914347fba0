"""Each helper shows what the specification's plain query shows of the same rows, whoever asks.

The rows are drawn, so that each way in which a helper may read is taken: threads without segments,
in one month, in few and in many, of few segments and of many; deleted ones and what is NULL;
written by INSERT and by COPY, through the table or into its month; told in late, moved to another
thread, or gone with their month to the archive.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ft_ops.months import Month
from ft_ops.partitions import partition_name
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from tests.fixtures.postgres import Database

PLAIN: Final[dict[LiteralString, LiteralString]] = {
    "SELECT cs FROM content_of_thread(%(thread)s) AS cs ORDER BY cs.id": (
        "SELECT cs FROM content_segments AS cs WHERE cs.thread_id = %(thread)s"
        " AND cs.is_deleted IS NOT TRUE ORDER BY cs.id"
    ),
    "SELECT cs FROM newest_content(%(segments)s, %(most)s) AS cs": (
        "SELECT cs FROM content_segments AS cs WHERE cs.id = ANY (%(segments)s)"
        " AND cs.is_deleted IS NOT TRUE ORDER BY cs.created_at DESC, cs.id LIMIT %(most)s"
    ),
    "SELECT cs FROM content_sizes(%(threads)s) AS cs ORDER BY cs::text": (
        "SELECT cs FROM (SELECT thread_id, user_id, created_at,"
        " coalesce(octet_length(text_content), 0), coalesce(octet_length(audio_transcript), 0),"
        " coalesce(cardinality(photo_urls), 0), (audio_url IS NOT NULL)::integer"
        " FROM content_segments WHERE thread_id = ANY (%(threads)s)"
        " AND is_deleted IS NOT TRUE) AS cs ORDER BY cs::text"
    ),
}
"""The plain query by the helper's."""

SHAPES: Final = ((0, 0), (1, 1), (5, 1), (9, 3), (4, 4), (30, 26), (60, 2), (60, 5), (60, 30))
"""How many segments a thread has, and in how many months at most. Each of its paths is taken."""

MONTHS: Final = tuple(Month(2024, 1).until(Month(2026, 10)))
ARCHIVED: Final = Month(2024, 4)
LATE: Final = Month(2011, 5)
COLUMNS: Final = sql.SQL(
    "(thread_id, user_id, content_type, sequence_number, text_content, audio_url,"
    " audio_transcript, photo_urls, is_deleted, created_at)"
)
INSERT: Final = sql.SQL("INSERT INTO content_segments {} VALUES ({})").format(
    COLUMNS, sql.SQL(", ").join([sql.Placeholder()] * 10)
)
MOVE: Final = """
ALTER TABLE content_segments DETACH PARTITION content_segments_2024_04;
ALTER TABLE archived_content_segments ATTACH PARTITION content_segments_2024_04
FOR VALUES FROM ('2024-04-01 00:00:00+00') TO ('2024-05-01 00:00:00+00');
CREATE TABLE content_segments_2024_04_late PARTITION OF content_segments
FOR VALUES FROM ('2024-04-01 00:00:00+00') TO ('2024-05-01 00:00:00+00');
"""

Row = tuple[object, ...]


def _moment(dice: random.Random, month: Month) -> datetime:
    """One in the month; often its first or its last."""
    length = (month.end - month.start) // timedelta(microseconds=1)
    offset = dice.choice([0, length - 1, dice.randrange(length), dice.randrange(length)])
    return month.start + timedelta(microseconds=offset)


def _row(dice: random.Random, thread: UUID, user: UUID, number: int, moment: datetime) -> Row:
    texts = (None, "", "Zoë 👩‍👩‍👧", "x" * 3000)
    photos = dice.choice([None, [], ["a.jpg", "b.jpg"]])
    audio = dice.choice([None, "a.m4a"])
    gone = dice.choice([False, False, True, None])
    said = dice.choice(texts), audio, dice.choice(texts), photos, gone
    return (thread, user, "mixed", number, *said, moment)


def _write(connection: Connection, dice: random.Random, rows: list[Row]) -> None:
    """Some by INSERT, some by COPY, some by COPY into their month's table."""
    by_way: dict[str, list[Row]] = {}
    for row in rows:
        moment = row[-1]
        assert isinstance(moment, datetime)
        month = partition_name("content_segments", Month.of(moment))
        by_way.setdefault(dice.choice(["INSERT", "content_segments", month]), []).append(row)
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, by_way.pop("INSERT", []))
        for table, of_table in by_way.items():
            into = sql.SQL("COPY {} {} FROM STDIN").format(sql.Identifier(table), COLUMNS)
            with cursor.copy(into) as copy:
                for row in of_table:
                    copy.write_row(row)


@pytest.fixture(params=[1, 2])
def dice(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


@pytest.fixture
def threads(connection: Connection, dice: random.Random) -> list[UUID]:
    """Of two families: one user is in both, one in the second, and one in none."""
    connection.execute(
        "CREATE TABLE content_segments_2011_05 PARTITION OF content_segments"
        " FOR VALUES FROM ('2011-05-01 00:00:00+00') TO ('2011-06-01 00:00:00+00')"
    )
    connection.execute(
        "WITH u AS (INSERT INTO users (clerk_id, email)"
        " SELECT n, n FROM generate_series(1, 3) AS n RETURNING id, email),"
        " f AS (INSERT INTO families (name, owner_id)"
        " SELECT 'F', id FROM u WHERE email < '3' RETURNING id, owner_id),"
        " m AS (INSERT INTO family_members (family_id, user_id, role)"
        " SELECT f.id, u.id, 'viewer' FROM f, u WHERE u.email = '1' AND f.owner_id <> u.id)"
        " INSERT INTO memory_books (family_id, title, created_by)"
        " SELECT id, 'B', owner_id FROM f"
    )
    threads = [
        thread
        for (thread,) in connection.execute(
            "INSERT INTO threads (memory_book_id, started_by) SELECT b.id, b.created_by"
            " FROM memory_books AS b, generate_series(1, %s) RETURNING id",
            [len(SHAPES)],
        )
    ]
    rows = []
    (users,) = one_row(connection.execute("SELECT array_agg(id) FROM users"))
    for thread, (segments, months) in zip(threads, 2 * SHAPES, strict=True):
        of_thread = dice.sample(MONTHS, max(1, months))
        for number in range(segments):
            moment = _moment(dice, dice.choice(of_thread))
            rows.append(_row(dice, thread, dice.choice(users), number, moment))
        if dice.random() < 0.3:
            rows.append(_row(dice, thread, users[0], segments, _moment(dice, LATE)))
    _write(connection, dice, rows)
    return threads


@pytest.fixture
def sessions(database: Database, connection: Connection) -> Iterator[list[psycopg.Connection]]:
    """One of the operations, and one of each user; they keep their plans."""
    users = connection.execute("SELECT id FROM users").fetchall()
    opened = [psycopg.connect(database.app_url, autocommit=True) for _ in users]
    for session, (user,) in zip(opened, users, strict=True):
        session.execute("SELECT set_config('app.current_user_id', %s, false)", [str(user)])
    yield [connection, *opened]
    for session in opened:
        session.close()


def _compare(
    connection: Connection,
    sessions: list[psycopg.Connection],
    dice: random.Random,
    threads: list[UUID],
) -> None:
    keys = [key for (key,) in connection.execute("SELECT id FROM content_segment_keys ORDER BY id")]
    shown = 0
    for thread in threads:
        several = dice.sample(threads, dice.randrange(1, 5))
        question = {
            "thread": thread,
            "threads": dice.choice([None, [], [None], [*several, several[0], None, uuid4()]]),
            "segments": dice.choice([None, [None, uuid4()], dice.sample(keys, 40), keys, keys]),
            "most": dice.choice([None, 0, 1, 50]),
        }
        for helper, plain in PLAIN.items():
            for session in dice.sample(sessions, 2):
                found = session.execute(helper, question).fetchall()
                assert found == session.execute(plain, question).fetchall(), (helper, question)
                shown += len(found)
    assert shown > len(keys) // 2


def test_each_helper_shows_what_the_plain_query_shows(
    connection: Connection,
    threads: list[UUID],
    sessions: list[psycopg.Connection],
    dice: random.Random,
) -> None:
    _compare(connection, sessions, dice, threads)
    connection.execute(
        "UPDATE content_segments SET thread_id = %s, sequence_number = sequence_number + 1000"
        " WHERE thread_id = %s AND sequence_number %% 2 = 0",
        [threads[0], threads[5]],
    )
    connection.execute("DELETE FROM content_segments WHERE thread_id = %s", [threads[3]])
    connection.execute(MOVE)
    late = [
        _row(dice, thread, _user(connection), 5000, _moment(dice, ARCHIVED)) for thread in threads
    ]
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, late)
    connection.execute("ANALYZE content_segments")
    _compare(connection, sessions, dice, threads)


def _user(connection: Connection) -> UUID:
    found: UUID = one_row(connection.execute("SELECT id FROM users LIMIT 1"))[0]
    return found
