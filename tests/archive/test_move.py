"""A month leaves content_segments whole, and a dead predecessor's work is finished."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.hold.holds import add_hold, guard_segments
from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.month.source import hot_source
from ft_ops.archive.move.detach import Erased
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import statement
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


def test_a_reader_of_a_month_keeps_its_detach_from_beginning_and_no_other(world: World) -> None:
    """A parent has one pending detach at a time: it would stop all other months."""
    world.fill()
    before = MONTH.plus(-1)
    world.fill(before)
    with connect(world.database.url, application="reader") as reader, reader.transaction():
        reader.execute("LOCK TABLE content_segments_2017_03 IN ACCESS SHARE MODE")
        with pytest.raises(OpsError, match=r"no lock within .* content_segments_2017_03 "):
            world.move()
        kept = attached_relation(world.connection, "content_segments", MONTH)
        assert kept is not None
        assert not kept.is_detaching
        assert world.move(before).generation.state == "archived"
    assert world.move().generation.state == "archived"
    assert world.count("archived_content_segments") == 80


def test_a_month_that_somebody_has_to_himself_keeps_no_other_waiting(world: World) -> None:
    world.fill()
    with connect(world.database.url, application="a migration") as holder, holder.transaction():
        holder.execute("LOCK TABLE content_segments_2017_03 IN ACCESS EXCLUSIVE MODE")
        world.connection.execute("SET lock_timeout = '100ms'")
        assert attached_relation(world.connection, "content_segments", MONTH.plus(-1)) is None
        found = attached_relation(world.connection, "content_segments", MONTH)
        assert found is not None


def leave_pending(world: World) -> None:
    """As a run that was begun, and whose detach then met a reader."""
    world.connection.execute(
        "INSERT INTO ops.archive (month, generation, state) VALUES ('2017-03-01', 1, 'archiving')"
    )
    table = sql.Identifier("content_segments_2017_03")
    world.connection.execute(statement("archive/follow_deletes").format(table=table))
    world.connection.execute("SET lock_timeout = '50ms'")
    detach = "ALTER TABLE content_segments DETACH PARTITION content_segments_2017_03 CONCURRENTLY"
    with connect(world.database.url, application="reader") as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM content_segments").fetchone()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            world.connection.execute(detach)
    world.connection.execute("SET lock_timeout = '5s'")
    pending = attached_relation(world.connection, "content_segments", MONTH)
    assert pending is not None
    assert pending.is_detaching


def test_a_detach_left_pending_is_finalized(world: World) -> None:
    world.fill()
    leave_pending(world)
    assert world.move().generation.state == "archived"
    assert world.count("archived_content_segments") == 40


def test_a_detach_left_pending_stops_no_other_month(world: World) -> None:
    world.fill()
    before = MONTH.plus(-1)
    world.fill(before)
    leave_pending(world)
    assert world.move(before).generation.state == "archived"
    assert world.count("archived_content_segments") == 40
    assert world.move().generation.state == "archived"
    assert world.count("archived_content_segments") == 80


def test_a_detach_that_somebody_else_has_begun_is_for_a_person(world: World) -> None:
    world.fill()
    before = MONTH.plus(-1)
    world.fill(before)
    leave_pending(world)
    world.connection.execute("DROP TRIGGER forget_detached ON content_segments_2017_03")
    with pytest.raises(Refused, match=r"begun to detach public\.content_segments_2017_03"):
        world.move(before)


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


def test_rows_that_a_deleted_thread_left_and_that_are_held_since_move_with_their_month(
    world: World,
) -> None:
    """Those of another one that nobody holds go."""
    world.fill()
    world.connection.execute(
        "INSERT INTO ops.archive (month, generation, state) VALUES ('2017-03-01', 1, 'archiving')"
    )
    world.connection.execute(
        "ALTER TABLE content_segments DETACH PARTITION content_segments_2017_03 CONCURRENTLY"
    )
    guard_segments(world.connection, sql.Identifier("content_segments_2017_03"))
    with psycopg.connect(world.database.admin_url) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("DELETE FROM threads WHERE id = ANY (%s)", (world.threads[1:3],))
    add_hold(world.connection, user_id=world.users[2], reason="case 44")
    move = world.move()
    assert (move.erased.rows, move.generation.state) == (10, "archived")
    assert "legal hold 1" in move.erased.held
    assert world.count("archived_content_segments") == world.count("content_segment_keys") == 30


def test_a_stray_table_is_not_taken_for_a_detached_month(world: World) -> None:
    world.connection.execute("CREATE TABLE content_segments_2017_03 (LIKE content_segments)")
    with pytest.raises(Refused, match="no archive run detached it"):
        world.move()


def test_an_unknown_month_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="no partition of that month"):
        world.move(Month(1999, 1))


@pytest.mark.usefixtures("begins_archived")
def test_late_rows_wait_until_the_earlier_generation_is_purged(world: World) -> None:
    world.month(MONTH)
    world.segment()
    assert [told for told in world.preflight().fatal if "late rows wait" in told]
    with pytest.raises(Refused, match="late rows wait"):
        world.move()
    world.verified_backup()
    world.purge()
    assert not world.preflight().fatal
    assert world.move().generation.number == 2
    assert world.count("archived_content_segments") == 1


def test_what_the_ledger_does_not_know_is_in_the_way_and_the_preflight_says_so(
    world: World,
) -> None:
    """A partition of the archive's table that somebody attached by hand."""
    world.fill()
    world.connection.execute(
        "CREATE TABLE by_hand PARTITION OF archived_content_segments"
        " FOR VALUES FROM ('2017-03-01') TO ('2017-04-01')"
    )
    (told,) = world.preflight().fatal
    assert "the ledger does not know it" in told
    with pytest.raises(Refused, match="the ledger does not know it"):
        world.move()


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
