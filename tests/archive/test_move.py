"""A month leaves content_segments whole, and a dead predecessor's work is finished."""

from __future__ import annotations

import psycopg
import pytest

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.month.source import hot_source
from ft_ops.archive.move.detach import Erased
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from tests.archive.world import MONTH, World


def test_a_moved_month_is_the_same_rows_under_the_archive(world: World) -> None:
    world.fill()
    before = world.digests(source=hot_source(read_content(world.connection), MONTH))
    move = world.move()
    assert (move.moved, move.erased) == (True, Erased(0, 0))
    assert move.generation.state == "archived"
    assert world.digests() == before
    assert world.count("content_segments") == 0
    assert world.count("archived_content_segments") == 40


def test_a_second_move_changes_nothing(world: World) -> None:
    world.fill()
    first = world.move()
    second = world.move()
    assert not second.moved
    assert second.generation == first.generation


def test_a_detach_left_pending_is_finalized(world: World) -> None:
    world.fill()
    with connect(world.database.url, application="reader") as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM content_segments").fetchone()
        with pytest.raises(OpsError, match="no lock within"):
            world.move()
        pending = attached_relation(world.connection, "content_segments", MONTH)
        assert pending is not None
        assert pending.is_detaching
    assert world.move().generation.state == "archived"
    assert world.count("archived_content_segments") == 40


def test_a_month_detached_by_a_dead_run_is_attached(world: World) -> None:
    world.fill()
    world.connection.execute(
        "INSERT INTO ops.archive (month, generation, state) VALUES ('2017-03-01', 1, 'archiving')"
    )
    world.connection.execute(
        "ALTER TABLE content_segments DETACH PARTITION content_segments_2017_03 CONCURRENTLY"
    )
    assert world.move().generation.state == "archived"
    assert world.count("archived_content_segments") == 40


def test_a_thread_deleted_while_the_month_stands_alone_takes_everything_along(
    world: World,
) -> None:
    segments = world.fill()
    world.children(segments[1])
    world.connection.execute(
        "INSERT INTO ops.archive (month, generation, state) VALUES ('2017-03-01', 1, 'archiving')"
    )
    world.connection.execute(
        "ALTER TABLE content_segments DETACH PARTITION content_segments_2017_03 CONCURRENTLY"
    )
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[1],))
    move = world.move()
    assert move.erased.keys == 10
    assert world.count("archived_content_segments") == 30
    assert world.count("content_segment_keys") == 30
    left = world.connection.execute(
        "SELECT count(*) FROM photo_narrations WHERE content_segment_id = %s", (segments[1],)
    ).fetchone()
    assert left == (0,)


def test_a_stray_table_is_not_taken_for_a_detached_month(world: World) -> None:
    world.connection.execute("CREATE TABLE content_segments_2017_03 (LIKE content_segments)")
    with pytest.raises(Refused, match="no archive run detached it"):
        world.move()


def test_an_unknown_month_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="no partition of that month"):
        world.move(Month(1999, 1))


def test_late_rows_wait_until_the_earlier_generation_is_purged(world: World) -> None:
    world.fill()
    world.archive()
    world.month(MONTH)
    world.segment()
    with pytest.raises(Refused, match="late rows wait"):
        world.move()
    world.verified_backup()
    world.purge()
    assert world.move().generation.number == 2
    assert world.count("archived_content_segments") == 1


def test_moved_rows_still_cascade_guard_and_register(world: World) -> None:
    segments = world.fill()
    world.move()
    with pytest.raises(psycopg.errors.RestrictViolation, match="cannot change"):
        world.connection.execute(
            "UPDATE archived_content_segments SET created_at = created_at + interval '1 second'"
            " WHERE id = %s",
            (segments[0],),
        )
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    assert world.count("archived_content_segments") == 30
    assert world.count("content_segment_keys") == 30
