"""What is held stays where it is, with whatever bears it, and no TRUNCATE passes a hold by."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive import add_hold
from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.connect import connect
from tests.archive.world import MONTH, World

NEXT = MONTH.plus(1)

MOVES: tuple[LiteralString, ...] = (
    "UPDATE threads SET memory_book_id = %(book)s WHERE id = %(thread)s",
    "UPDATE memory_books SET family_id = %(family)s WHERE id = %(own_book)s",
    "UPDATE content_segments SET (thread_id, sequence_number) = (%(other_thread)s, 77)"
    + " WHERE id = %(segment)s",
)


@pytest.fixture
def bearer(world: World) -> UUID:
    """A segment of the second family, in its third thread; nothing of it is held by itself."""
    for month in (MONTH, NEXT):
        world.month(month)
    return world.segment(MONTH, thread=2)


def _move(world: World, query: LiteralString, segment: UUID) -> None:
    books: dict[UUID, UUID] = dict(
        world.connection.execute("SELECT family_id, id FROM memory_books").fetchall()
    )
    world.connection.execute(
        query,
        {
            "book": books[world.families[0]],
            "own_book": books[world.families[1]],
            "family": world.families[0],
            "thread": world.threads[2],
            "other_thread": world.threads[3],
            "segment": segment,
        },
    )


@pytest.mark.parametrize("query", MOVES)
@pytest.mark.parametrize(
    "held", ["a tag of a held user", "a link to a held month", "a child of one"]
)
def test_what_bears_something_held_does_not_move(
    world: World, bearer: UUID, held: str, query: LiteralString
) -> None:
    if held == "a link to a held month":
        world.link(world.segment(NEXT, thread=0), bearer, user=1)
        add_hold(world.connection, reason="a case", month=NEXT)
    elif held == "a tag of a held user":
        world.children(bearer, user=0)
        add_hold(world.connection, reason="a case", user_id=world.users[0])
    else:
        world.children(bearer, user=2)
        world.connection.execute(
            "CREATE TABLE narration_votes (id uuid PRIMARY KEY, narration_id uuid NOT NULL"
            " REFERENCES photo_narrations (id) ON DELETE CASCADE,"
            " voter uuid NOT NULL REFERENCES users (id))"
        )
        world.connection.execute(
            "INSERT INTO narration_votes SELECT uuid_generate_v4(), id, %s FROM photo_narrations",
            (world.users[0],),
        )
        add_hold(world.connection, reason="a case", user_id=world.users[0])
    with pytest.raises(psycopg.errors.RestrictViolation, match="is under legal hold"):
        _move(world, query, bearer)


@pytest.mark.parametrize("query", MOVES)
def test_what_bears_nothing_held_moves_beside_a_hold(
    world: World, bearer: UUID, query: LiteralString
) -> None:
    world.children(bearer, user=2)
    world.link(world.segment(NEXT, thread=3), bearer, user=2)
    add_hold(world.connection, reason="a case", user_id=world.users[0])
    _move(world, query, bearer)


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_no_truncate_passes_a_hold_by(world: World, role: LiteralString) -> None:
    """Neither of a partition of whatever table of content, nor by a cascade from elsewhere."""
    world.connection.execute(
        "CREATE TABLE reactions (id uuid, content_segment_id uuid NOT NULL"
        " REFERENCES content_segment_keys (id) ON DELETE CASCADE, kind integer,"
        " PRIMARY KEY (id, kind)) PARTITION BY LIST (kind)"
    )
    world.connection.execute("CREATE TABLE reactions_1 PARTITION OF reactions FOR VALUES IN (1)")
    # As another tool would make a month: without a trigger of its own.
    world.connection.execute(
        "CREATE TABLE others_month PARTITION OF content_segments"
        " FOR VALUES FROM ('2016-01-01 00:00+00') TO ('2016-02-01 00:00+00')"
    )
    ensure_months(world.connection, "archived_content_segments", [Month(2016, 2)])
    world.fill(segments=4)
    add_hold(world.connection, reason="a case", month=MONTH)
    tables = (
        *("content_segments", "content_segments_2017_03", "others_month"),
        *("archived_content_segments", "archived_content_segments_2016_02", "content_segment_keys"),
        *("photo_narrations", "content_tags", "content_links", "reactions", "reactions_1"),
        *("threads", "memory_books", "families", "users"),
    )
    with connect(world.database.admin_url, application="an administrator") as admin:
        admin.execute(sql.SQL("SET session_replication_role = {}").format(sql.SQL(role)))
        for table in tables:
            with pytest.raises(psycopg.errors.RestrictViolation):
                admin.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(table)))
    assert (world.count("content_segments"), world.count("content_links")) == (4, 1)
