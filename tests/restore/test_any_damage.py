"""Whatever happened to a family since the copy: what is missing comes back, and nothing else moves.

The oracle reads both databases row by row and decides by itself, from the foreign keys that are
written down here by hand, which rows may come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from ft_ops.errors import OpsError
from ft_ops.pg.connect import connect
from ft_ops.restore import Decisions
from tests.fixtures.postgres import Database, created
from tests.restore.test_other_times import ARCHIVE_JANUARY, JANUARY
from tests.restore.world import Family, World

PARENTS = {
    "families": {},
    "family_members": {"family_id": "families"},
    "family_invites": {"family_id": "families"},
    "memory_books": {"family_id": "families"},
    "threads": {"memory_book_id": "memory_books"},
    "content_segments": {"thread_id": "threads"},
    "content_segment_keys": {"thread_id": "threads", "id": "content_segments"},
    "photo_narrations": {"content_segment_id": "content_segments"},
    "content_tags": {"content_segment_id": "content_segments"},
    "content_links": {
        "source_segment_id": "content_segments",
        "target_segment_id": "content_segments",
    },
}
EDITS = {
    "memory_books": "UPDATE memory_books SET title = 'edited' WHERE id = %s",
    "threads": "UPDATE threads SET title = 'edited' WHERE id = %s",
    "content_segments": "UPDATE content_segments SET text_content = 'edited' WHERE id = %s",
    "photo_narrations": "UPDATE photo_narrations SET narration_text = 'edited' WHERE id = %s",
    "family_members": "UPDATE family_members SET role = 'viewer' WHERE id = %s",
}
DELETED = [table for table in PARENTS if table not in {"families", "content_segment_keys"}]

GIVEN = {
    "threads": "UPDATE threads SET memory_book_id = %s WHERE id = %s",
    "memory_books": "UPDATE memory_books SET family_id = %s WHERE id = %s",
}
"""What can be given to another family."""

Step = tuple[str, str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("delete"), st.sampled_from(DELETED), st.integers(0, 31)),
        st.tuples(st.just("edit"), st.sampled_from(sorted(EDITS)), st.integers(0, 31)),
        st.tuples(st.just("take its number"), st.just("content_segments"), st.integers(0, 15)),
        st.tuples(st.just("move"), st.just("threads"), st.integers(0, 3)),
        st.tuples(st.just("give away"), st.sampled_from(sorted(GIVEN)), st.integers(0, 3)),
        st.tuples(st.just("archive"), st.just("content_segments"), st.just(0)),
    ),
    min_size=1,
    max_size=8,
)


@dataclass(slots=True)
class Lives:
    """Clones of the world's database, each for one course of events."""

    world: World
    copy: Database
    numbers: Iterator[int]

    @contextmanager
    def lived(self) -> Iterator[World]:
        live = Database(f"{self.copy.name}_{next(self.numbers)}", self.copy.server_url)
        with created(live, sql.Identifier(self.copy.name)):
            made = replace(
                self.world,
                database=live,
                connection=connect(live.url, application="tests"),
            )
            yield made
            made.connection.close()


@pytest.fixture
def lives(world: World) -> Lives:
    world.connection.close()
    return Lives(world, world.database, count())


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=steps, kill=st.integers(0, 150))
def test_missing_rows_come_back_and_newer_ones_stay(
    lives: Lives, events: list[Step], kill: int
) -> None:
    hold(lives, events, kill)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=steps, kill=st.integers(0, 250))
def test_missing_rows_come_back_and_newer_ones_stay_in_many_courses(
    lives: Lives, events: list[Step], kill: int
) -> None:
    hold(lives, events, kill)


def hold(lives: Lives, events: list[Step], kill: int) -> None:
    with lives.lived() as live:
        copied = family(live, 0)
        for event in events:
            live_through(live, copied, event)
        damaged, others = family(live, 0), family(live, 1)
        expected = oracle(copied, damaged, erased(live), others)
        with connect(lives.copy.url, application="tests") as copy:
            with killed_at(live, kill):
                live.restore(copy, decisions=Decisions(removed_members=True))
            assert family(live, 0) in (damaged, expected)
            plan = live.restore(copy, decisions=Decisions(removed_members=True))
            assert family(live, 0) == expected
            assert family(live, 1) == others
            assert plan.inserts in (0, size(expected) - size(damaged))
            again = live.restore(copy, decisions=Decisions(removed_members=True))
            assert (again.inserts, again.overwrites) == (0, 0)
            assert family(live, 0) == expected
            # Everything is undone where nobody has taken a place, once a person says that all
            # of the deletions were mistakes.
            mistakes = frozenset(UUID(key) for keys in erased(live).values() for key in keys)
            decisions = Decisions(True, mistakes, "the tests say so", removed_members=True)
            live.restore(copy, decisions=decisions)
            assert family(live, 1) == others
            if not any(kind in {"take its number", "give away"} for kind, _, _ in events):
                assert family(live, 0) == copied


def family(world: World, number: int) -> Family:
    """Everything of one family; its segments wherever their months are, each month in one place."""
    found = world.family(number)
    archived = found.pop("archived_content_segments")
    for row in archived.values():
        assert str(row["created_at"]).startswith("2025-01")
    assert not archived.keys() & found["content_segments"].keys()
    found["content_segments"] |= archived
    return found


def live_through(world: World, copied: Family, event: Step) -> None:
    kind, table, number = event
    row = list(copied[table].values())[number % len(copied[table])]
    if kind == "archive":
        attached = (
            "SELECT FROM pg_inherits WHERE inhrelid = %s::regclass AND inhparent = %s::regclass"
        )
        if world.execute(attached, JANUARY, "content_segments"):
            for query in ARCHIVE_JANUARY:
                world.execute(query)
    elif kind == "delete":
        delete(world, table, row)
    elif kind == "edit":
        world.execute(EDITS[table], row["id"])
    elif kind == "give away":
        place = world.books[2] if table == "threads" else world.families[1]
        world.execute(GIVEN[table], place, row["id"])
    elif kind == "move":
        world.execute(
            "UPDATE threads SET memory_book_id = b.id FROM memory_books AS b"
            " WHERE threads.id = %s AND b.family_id = %s AND b.id <> threads.memory_book_id",
            row["id"],
            world.families[0],
        )
    else:
        delete(world, table, row)
        world.execute(
            "INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number,"
            " created_at) SELECT t.id, %s, 'text', %s, '2025-02-05Z' FROM threads AS t"
            " WHERE t.id = %s AND NOT EXISTS (SELECT FROM content_segment_keys AS k"
            " WHERE k.thread_id = t.id AND k.sequence_number = %s)",
            row["user_id"],
            row["sequence_number"],
            row["thread_id"],
            row["sequence_number"],
        )


def delete(world: World, table: str, row: Mapping[str, object]) -> None:
    world.execute(f"DELETE FROM {table} WHERE id = %s", row["id"])
    if table == "content_segments":
        world.execute("DELETE FROM archived_content_segments WHERE id = %s", row["id"])


def erased(world: World) -> dict[str, set[str]]:
    tables = {"thread": "threads", "book": "memory_books", "segment": "content_segments"}
    found: dict[str, set[str]] = {table: set() for table in tables.values()}
    for kind, key in world.connection.execute("SELECT kind, id::text FROM ops.erasures"):
        found[tables[kind]].add(key)
    return found


def oracle(copied: Family, damaged: Family, gone: dict[str, set[str]], others: Family) -> Family:
    """What the family ought to be: what it is, and what may come back of what it was."""
    taken = {
        (row["thread_id"], row["sequence_number"]): key
        for key, row in damaged["content_segments"].items()
    }
    result: Family = {table: dict(rows) for table, rows in damaged.items()}
    for table, parents in PARENTS.items():
        for key, row in copied[table].items():
            if key in result[table] or key in gone.get(table, ()) or key in others[table]:
                continue
            if any(row[c] not in result[parent] for c, parent in parents.items()):
                continue
            if (row.get("thread_id"), row.get("sequence_number")) in taken:
                continue
            result[table][key] = row
    return result


def size(family: Family) -> int:
    return sum(len(rows) for table, rows in family.items() if table != "content_segment_keys")


@contextmanager
def killed_at(world: World, statement: int) -> Iterator[None]:
    """End the session's process before one of its statements, if it comes to that one."""
    numbers = count()
    real: Callable[..., psycopg.Cursor[tuple[object, ...]]] = psycopg.Connection.execute
    connection = world.connection

    def execute(
        self: psycopg.Connection[tuple[object, ...]], *args: object, **named: object
    ) -> psycopg.Cursor[tuple[object, ...]]:
        if self is connection and next(numbers) == statement:
            with psycopg.connect(world.database.admin_url, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 10000)", (self.info.backend_pid,))
        return real(self, *args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", execute)
        try:
            yield
        except (psycopg.OperationalError, OpsError):
            assert connection.closed
    if connection.closed:
        world.connection = connect(world.database.url, application="tests")
