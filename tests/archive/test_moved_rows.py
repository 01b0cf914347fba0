"""A shared row that was moved, or made again elsewhere, is where it is now and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.keep.adopt import adopt
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from tests.archive.test_adopt import recovered
from tests.archive.test_links import _link
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database, created

NEXT = Month(2017, 4)
HOT = Month(2018, 1)


def _ends(world: World) -> list[tuple[object, ...]]:
    query = "SELECT source_segment_id, target_segment_id FROM content_links"
    return world.connection.execute(query).fetchall()


def _move(world: World, link: UUID, source: UUID) -> None:
    world.connection.execute(
        "UPDATE content_links SET source_segment_id = %s WHERE id = %s", (source, link)
    )


@pytest.fixture
def three(world: World) -> tuple[UUID, UUID, UUID]:
    """Segments of a month, of the next one, and of one that stays."""
    for month in (MONTH, NEXT, HOT):
        world.month(month)
    return world.segment(MONTH), world.segment(NEXT), world.segment(HOT)


@pytest.mark.parametrize("how", ["moved", pytest.param("made again", marks=pytest.mark.chaos)])
def test_a_link_is_where_it_was_archived_last(
    world: World, three: tuple[UUID, UUID, UUID], how: str
) -> None:
    old, new, hot = three
    link = _link(world, old, hot)
    world.archived_and_purged(MONTH)
    world.thaw(MONTH)
    if how == "moved":
        _move(world, link, new)
    else:
        world.connection.execute("DELETE FROM content_links")
        world.connection.execute(
            "INSERT INTO content_links (id, source_segment_id, target_segment_id, link_type,"
            " created_by) VALUES (%s, %s, %s, 'reply', %s)",
            (link, new, hot, world.users[0]),
        )
    # It is no erasure: what archives hold of the link that lives stays.
    assert plan_erasures(world.connection, world.bucket) == []
    assert world.refreeze(MONTH).next is None
    world.archived_and_purged(NEXT)
    assert _ends(world) == []
    assert world.thaw(MONTH).left_out == {"links: deleted meanwhile": 1}
    assert _ends(world) == []
    assert world.thaw(NEXT).left_out == {}
    assert _ends(world) == [(new, hot)]


@pytest.mark.chaos
def test_a_link_that_was_moved_back_comes_back(
    world: World, three: tuple[UUID, UUID, UUID]
) -> None:
    old, new, hot = three
    link = _link(world, old, hot)
    world.archived_and_purged(MONTH)
    world.thaw(MONTH)
    for source in (new, old):
        _move(world, link, source)
    world.refreeze(MONTH)
    world.thaw(MONTH)
    assert _ends(world) == [(old, hot)]
    assert world.count("ops.erased_rows") == 1


@pytest.mark.parametrize("kind", ["plain", pytest.param("partitioned", marks=pytest.mark.chaos)])
def test_a_row_that_is_known_by_its_segments_is_not_doubled_by_its_move(
    world: World, three: tuple[UUID, UUID, UUID], kind: str
) -> None:
    old, new, hot = three
    world.connection.execute(
        "CREATE TABLE quotes (source uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE,"
        " target uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE,"
        " PRIMARY KEY (source, target))"
        + (" PARTITION BY HASH (source)" if kind == "partitioned" else "")
    )
    if kind == "partitioned":
        for number in range(2):
            world.connection.execute(
                sql.SQL(
                    "CREATE TABLE {} PARTITION OF quotes FOR VALUES WITH (MODULUS 2, REMAINDER {})"
                ).format(sql.Identifier(f"quotes_{number}"), number)
            )
    world.connection.execute("SELECT ops.guard_content()")
    world.connection.execute("INSERT INTO quotes VALUES (%s, %s)", (old, hot))
    world.archived_and_purged(MONTH)
    world.thaw(MONTH)
    world.connection.execute("UPDATE quotes SET source = %s", (new,))
    assert world.refreeze(MONTH).next is None
    world.thaw(MONTH)
    assert world.connection.execute("SELECT * FROM quotes").fetchall() == [(new, hot)]
    # A partition has no TRUNCATE trigger of its parent's.
    for table in ("quotes", *(["quotes_0"] if kind == "partitioned" else [])):
        with pytest.raises(psycopg.errors.RestrictViolation, match="from the archive"):
            world.connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))


def test_truncate_leaves_no_tombstone_and_is_refused(world: World) -> None:
    for table in ("content_links", "content_links CASCADE", "photo_narrations, content_links"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="Delete its rows"):
            world.connection.execute(b"TRUNCATE " + table.encode())
    world.connection.execute("TRUNCATE photo_narrations, content_tags")


@pytest.mark.chaos
def test_a_recovery_to_before_a_move_keeps_the_link_where_it_is_again(
    world: World, three: tuple[UUID, UUID, UUID]
) -> None:
    old, new, hot = three
    link = _link(world, old, hot)
    world.connection.close()
    earlier = Database(f"{world.database.name}_earlier", world.database.server_url)
    with created(earlier, sql.Identifier(world.database.name)):
        with connect(world.database.url, application="tests") as connection:
            live = replace(world, connection=connection)
            _move(live, link, new)
            ship_records(live.run)
        with recovered(world, earlier) as restored:
            assert adopt(restored.run, apply=True).problems == ()
            assert adopt(restored.run, apply=True).changes == ()
            assert _ends(restored) == [(old, hot)]
            restored.archived_and_purged(MONTH)
            assert restored.thaw(MONTH).left_out == {}
            assert _ends(restored) == [(old, hot)]


def test_a_month_that_somebody_has_to_himself_stops_no_guard(world: World) -> None:
    world.fill()
    world.fill(NEXT)
    world.connection.execute("DROP TRIGGER keep_keys ON content_segments_2017_04")
    world.connection.execute("SET lock_timeout = '100ms'")
    with connect(world.database.url, application="a migration") as holder, holder.transaction():
        holder.execute("LOCK TABLE content_segments_2017_03 IN ACCESS EXCLUSIVE MODE")
        world.connection.execute("SELECT ops.guard_content()")
    with pytest.raises(psycopg.errors.RestrictViolation):
        world.connection.execute("TRUNCATE content_segments_2017_04")
