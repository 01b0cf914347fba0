"""Each product query answers what Python works out from the base tables, whoever asks.

The application sees through row level security: its answer is the answer over the rows that its
user may see. The operations see everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import RawCursor
from psycopg.rows import dict_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from tests.fixtures.postgres import Database
from tests.queries import oracle
from tests.queries.oracle import Row, Tables, read_tables
from tests.queries.world import populate

COLUMNS = {
    "family_memory_books": (
        "id family_id title description cover_image_url created_by is_collaborative privacy"
        " last_activity_at created_at updated_at metadata thread_count segment_count"
        " contributor_count last_activity photo_count audio_count created_by_name"
    ),
    "thread_with_content": (
        "id memory_book_id title started_by participant_count segment_count last_segment_at"
        " is_locked created_at updated_at metadata segments"
    ),
    "search_by_tags": (
        "id thread_id user_id content_type sequence_number text_content audio_url"
        " audio_duration_seconds audio_transcript photo_urls is_edited edited_at is_deleted"
        " deleted_at created_at view_count reaction_count metadata memory_book_title thread_title"
        " tags"
    ),
    "family_storage": "id name storage_limit_bytes total_used_bytes breakdown",
    "active_members": (
        "family_id user_id role display_name last_login_at recent_segments last_contribution"
    ),
}


@dataclass(frozen=True)
class World:
    """A populated database, as the operations and as the application see it."""

    operations: Connection
    application: Connection
    tables: Tables

    def views(self) -> Iterator[tuple[Connection, Tables]]:
        """The operations' connection, then the application's as each user; what each may see."""
        yield self.operations, self.tables
        for user in self.tables.users:
            self.application.execute(
                "SELECT set_config('app.current_user_id', %s, false)", (str(user.id),)
            )
            yield self.application, self.tables.seen_by(user.id)

    @property
    def now(self) -> datetime:
        row = self.operations.execute("SELECT now()").fetchone()
        assert row is not None
        assert isinstance(row[0], datetime)
        return row[0]


@pytest.fixture(params=[1, 2, 3])
def world(
    request: pytest.FixtureRequest, database: Database, connection: Connection
) -> Iterator[World]:
    populate(connection, seed=request.param)
    with psycopg.connect(database.app_url, autocommit=True) as application:
        yield World(connection, application, read_tables(connection))


def ask(connection: Connection, query: str, *parameters: object) -> list[Row]:
    with RawCursor(connection, row_factory=dict_row) as cursor:
        rows = cursor.execute(statement(f"queries/{query}"), parameters).fetchall()
        assert [column.name for column in cursor.description or []] == COLUMNS[query].split()
    return rows


def compare(
    world: World,
    query: str,
    questions: Sequence[tuple[object, ...]],
    expected: Callable[..., list[Row]],
) -> None:
    answered = 0
    for connection, tables in world.views():
        for question in questions:
            answer = ask(connection, query, *question)
            assert answer == expected(tables, *question)
            answered += len(answer)
    assert answered > len(questions), "nearly everything was invisible to everybody"


def test_family_memory_books(world: World) -> None:
    families = [(family.id,) for family in world.tables.families]
    compare(world, "family_memory_books", families, oracle.family_memory_books)


def test_thread_with_content(world: World) -> None:
    threads = [(thread.id,) for thread in world.tables.threads]
    compare(world, "thread_with_content", threads, oracle.thread_with_content)


def test_search_by_tags(world: World) -> None:
    questions = [
        (user.id, wanted)
        for user in world.tables.users
        for wanted in (["sea"], ["grandma", "война"], ["unused"])
    ]
    compare(world, "search_by_tags", questions, oracle.search_by_tags)


def test_family_storage(world: World) -> None:
    families = [(family.id,) for family in world.tables.families]
    compare(world, "family_storage", families, oracle.family_storage)


def test_active_members(world: World) -> None:
    now = world.now

    def expected(tables: Tables, family: UUID) -> list[Row]:
        return oracle.active_members(tables, family, now)

    compare(world, "active_members", [(family.id,) for family in world.tables.families], expected)


def test_a_book_in_the_list_has_the_figures_of_the_view(world: World) -> None:
    """memory_book_stats is the specification's; the list counts all books of a family at once."""
    figures = "thread_count segment_count contributor_count last_activity photo_count audio_count"
    listed = 0
    for connection, tables in world.views():
        for family in tables.families:
            for book in ask(connection, "family_memory_books", family.id):
                with connection.cursor(row_factory=dict_row) as cursor:
                    seen = cursor.execute(
                        "SELECT * FROM memory_book_stats WHERE id = %s", [book["id"]]
                    ).fetchone()
                assert seen is not None
                assert {f: book[f] for f in figures.split()} == {
                    f: seen[f] for f in figures.split()
                }
                listed += 1
    assert listed


def test_the_helpers_of_the_queries_show_a_stranger_nothing(world: World) -> None:
    """They run with the rights of whoever calls them: no thread of another family is read."""
    threads = [thread.id for thread in world.tables.threads]
    present = [segment for segment in world.tables.segments if not segment.is_deleted]
    segments = [segment.id for segment in present]
    calls: list[tuple[LiteralString, list[object]]] = [
        ("SELECT id FROM content_of_thread(%s)", [present[0].thread_id]),
        ("SELECT id FROM newest_content(%s, 50)", [segments]),
        ("SELECT thread_id FROM content_sizes(%s)", [threads]),
    ]
    stranger = str(uuid4())
    world.application.execute("SELECT set_config('app.current_user_id', %s, false)", [stranger])
    for call, arguments in calls:
        assert world.operations.execute(call, arguments).fetchall()
        assert world.application.execute(call, arguments).fetchall() == []


def test_what_does_not_exist_has_no_rows(connection: Connection) -> None:
    for query in ("family_memory_books", "thread_with_content", "family_storage", "active_members"):
        assert ask(connection, query, uuid4()) == []
    assert ask(connection, "search_by_tags", uuid4(), ["sea"]) == []
