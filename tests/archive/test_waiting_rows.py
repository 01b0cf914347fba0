"""A shared row waits for its other end, and comes from there as it was archived."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import pytest
from psycopg import sql

from ft_ops.months import Month
from ft_ops.pg.sqlfiles import sql_root
from tests.archive.test_links import _link, _links, _mark
from tests.archive.world import MONTH, World

NEXT = Month(2017, 4)

_ODD: Final = [
    sql.SQL("nothing jsonb DEFAULT 'null'"),
    sql.SQL("nothings jsonb[] DEFAULT ARRAY['null'::jsonb, NULL]"),
    sql.SQL("late text[] DEFAULT '[0:1]={a,b}'"),
    sql.SQL('kept json DEFAULT \'{"a": 1.10,  "a": 2}\''),
    sql.SQL("pair odd_pair DEFAULT ROW(NULL, NULL)::odd_pair"),
    sql.SQL("zero double precision DEFAULT '-0'"),
    sql.SQL("price money DEFAULT 12.34"),
    sql.SQL("fixed char(5) DEFAULT 'ab'"),
]


def _as_text(world: World) -> list[str]:
    rows = world.connection.execute("SELECT c::text FROM content_links AS c ORDER BY c.id")
    return [text for (text,) in rows.fetchall()]


def test_every_value_of_a_link_comes_back_as_it_was(world: World) -> None:
    """JSON's own null is not NULL, and an array may begin where it likes."""
    world.connection.execute("CREATE TYPE odd_pair AS (a integer, b text)")
    for column in _ODD:
        world.connection.execute(sql.SQL("ALTER TABLE content_links ADD COLUMN {}").format(column))
    world.fill(segments=4)
    world.connection.execute("UPDATE content_links SET metadata = 'null'")
    before = _as_text(world)
    world.archived_and_purged()
    for _ in range(2):
        assert world.thaw().left_out == {}
        assert _as_text(world) == before
        assert world.refreeze().next is None


@pytest.fixture
def waiting(world: World) -> UUID:
    """A link that waits; the month whose archive does not have it is not back yet."""
    world.month(MONTH)
    world.month(NEXT)
    link = _link(world, world.segment(MONTH), world.segment(NEXT))
    _mark(world, link, 3)
    world.archived_and_purged(NEXT)
    world.archived_and_purged(MONTH)
    world.thaw(NEXT)
    assert world.count("ops.waiting_rows") == 1
    return link


@pytest.mark.parametrize(
    ("table", "column"),
    [
        pytest.param("hints", "metadata", marks=pytest.mark.chaos),
        ("content_links", "extra"),
    ],
    ids=str,
)
def test_a_link_that_waits_follows_a_migration(
    world: World, waiting: UUID, table: str, column: str
) -> None:
    names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
    changes = [sql.SQL("ALTER TABLE {table} ADD weight integer NOT NULL DEFAULT 7")]
    if table == "hints":
        changes.insert(0, sql.SQL("ALTER TABLE content_links RENAME TO {table}"))
    else:
        changes.append(sql.SQL("ALTER TABLE content_links RENAME metadata TO {column}"))
    for change in changes:
        world.connection.execute(change.format(**names))
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change, new_name)"
        " VALUES ('content_links', %s, 'renamed', %s)",
        ("", table) if table == "hints" else ("metadata", column),
    )
    world.thaw(MONTH)
    found = world.connection.execute(
        sql.SQL("SELECT id, {column}, weight FROM {table}").format(**names)
    )
    assert found.fetchall() == [(waiting, {"mark": 3}, 7)]


@pytest.mark.chaos
def test_a_link_that_waits_is_kept_by_the_upgrade(world: World, waiting: UUID) -> None:
    seen = world.connection.execute("SELECT * FROM ops.waiting_links").fetchall()
    for direction in ("down", "up"):
        file = sql_root() / "migrations" / f"0068_waiting_values.{direction}.sql"
        world.connection.execute(file.read_bytes())
        assert world.connection.execute("SELECT * FROM ops.waiting_links").fetchall() == seen
    world.thaw(MONTH)
    assert _links(world) == {waiting: {"mark": 3}}
