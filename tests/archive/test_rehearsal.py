"""Erasures survive every restore: a copy from before one is asked for what was erased."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from psycopg import sql

from ft_ops.archive.keep.rehearsal import (
    LONGEST_WITHOUT_REHEARSAL,
    KeptRehearsal,
    Rehearsals,
    Rehearsed,
    erased_rows_left,
    newest_erasure,
    newest_rehearsals,
    point_to_rehearse,
    record_rehearsal,
    rehearsal_in_drill,
    rehearse_erasures,
    unproven,
    weaknesses_of,
)
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.backups import ProvenCopy
from ft_ops.backups.inventory.verified import oldest_point
from ft_ops.backups.retention.retention import Rules, kept_at_most_until
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from tests.archive.test_adopt import overwrite
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database, created

NOW = datetime(2026, 11, 3, tzinfo=UTC)


@contextmanager
def copy_of(world: World) -> Iterator[tuple[World, Database]]:
    """A copy of the database at this moment, as a restore of a backup has it."""
    copy = Database(f"{world.database.name}_copy", world.database.server_url)
    world.connection.close()
    with (
        created(copy, sql.Identifier(world.database.name)),
        connect(world.database.url, application="tests") as connection,
    ):
        yield replace(world, connection=connection), copy


@contextmanager
def opened(copy: Database) -> Iterator[Connection]:
    with connect(
        copy.url, application="tests", settings={"default_transaction_read_only": "on"}
    ) as connection:
        yield connection


def test_nobody_who_was_erased_after_the_backup_is_left_in_its_copy(world: World) -> None:
    """In the hot tables and in the archived ones, with all that belongs to them."""
    hot = MONTH.plus(1)
    world.fill(segments=12)
    made = world.fill(hot, segments=12)
    world.move()
    with copy_of(world) as (live, copy):
        live.connection.execute("DELETE FROM families WHERE id = %s", (live.families[1],))
        live.connection.execute("DELETE FROM users WHERE id = %s", (live.users[1],))
        live.connection.execute("DELETE FROM content_segments WHERE id = %s", (made[0],))
        ship_records(live.run)
        with opened(copy) as connection:
            found = rehearse_erasures(connection, live.target)
            assert (found.verdict, found.left, found.problem) == ("proven", {}, "")
            assert found.deleted >= 3
            assert found.newest == newest_erasure(live.connection)
            left = connection.execute("SELECT id FROM families").fetchall()
            assert left == [(live.families[0],)]
            # The patient is as it was.
            assert live.count("families") == 1
        record_rehearsal(live.connection, "full-1", NOW, found, "test")
        held = newest_rehearsals(live.connection)
        assert held.newest is not None
        assert held.newest.found == found
        # Somebody was in the copy who had been erased since.
        assert held.telling == held.newest


def test_what_could_not_be_deleted_is_refuted_by_table(world: World) -> None:
    world.fill(segments=12)
    with copy_of(world) as (live, copy):
        live.connection.execute("DELETE FROM threads WHERE id = %s", (live.threads[0],))
        ship_records(live.run)
        with connect(copy.url, application="tests") as connection:
            connection.execute(
                "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN RAISE EXCEPTION ''it stays''; END';"
                "CREATE TRIGGER keep BEFORE DELETE ON threads FOR EACH ROW EXECUTE FUNCTION keep()"
            )
        with opened(copy) as connection:
            found = rehearse_erasures(connection, live.target)
        assert found.verdict == "refuted"
        assert found.left["threads"] == 1
        assert found.left["content_segments"] == 3
        assert "it stays" in found.problem
        assert "3 rows of content_segments" in str(unproven(found, "full-1"))


def test_what_could_not_be_asked_is_unknown_and_says_why(world: World) -> None:
    world.fill(segments=12)
    with copy_of(world) as (live, copy):
        live.connection.execute("DELETE FROM threads WHERE id = %s", (live.threads[0],))
        ship_records(live.run)
        overwrite(live, "events/")
        with opened(copy) as connection:
            found = rehearse_erasures(connection, live.target)
            assert found.verdict == "unknown"
            assert "not what was written" in found.problem
            assert erased_rows_left(connection) == {}


def test_a_backup_from_before_the_newest_erasure_is_chosen(world: World) -> None:
    assert point_to_rehearse(world.connection) == ""
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    assert point_to_rehearse(world.connection) == ""
    world.verified_backup()
    # The one backup is younger than the erasure.
    assert point_to_rehearse(world.connection) == ""
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[1],))
    newest = newest_erasure(world.connection)
    assert newest is not None
    assert point_to_rehearse(world.connection) == newest.isoformat()
    oldest = oldest_point(world.connection)
    assert oldest is not None
    assert oldest < newest


def kept(verdict: str, held_at: datetime) -> KeptRehearsal:
    left = {} if verdict == "proven" else {"threads": 2}
    return KeptRehearsal(
        "full-1",
        NOW,
        held_at,
        Rehearsed(verdict, 3, NOW, 1, left),  # type: ignore[arg-type]
    )


def only(held: KeptRehearsal) -> Rehearsals:
    return Rehearsals(held, held)


NEVER = Rehearsals(None, None)


def test_it_is_not_known_when_nobody_looked_for_a_fortnight() -> None:
    limit, instant = LONGEST_WITHOUT_REHEARSAL, timedelta(seconds=1)
    assert weaknesses_of(None, None, NEVER, NOW) == []
    assert weaknesses_of(NOW - limit, None, NEVER, NOW) == []
    assert "no restored copy" in weaknesses_of(NOW - limit - instant, None, NEVER, NOW)[0]
    long_ago = NOW - timedelta(days=90)
    assert weaknesses_of(long_ago, long_ago, only(kept("proven", NOW - limit)), NOW) == []
    late = only(kept("proven", NOW - limit - instant))
    [problem] = weaknesses_of(long_ago, long_ago, late, NOW)
    assert "15 days ago" in problem
    for verdict in ("refuted", "unknown"):
        [problem] = weaknesses_of(NOW, None, only(kept(verdict, NOW)), NOW)
        assert verdict in problem
        assert "2 rows of threads" in problem


def test_a_drill_in_whose_copy_nobody_could_stay_answers_for_no_older_backup() -> None:
    """The daily drill restores what is younger than the erasure; an older backup still has him."""
    erased, instant = NOW - timedelta(days=90), timedelta(seconds=1)
    daily = Rehearsals(kept("proven", NOW), None)
    for oldest in (erased, erased - instant):
        assert "no restored copy" in weaknesses_of(erased, oldest, daily, NOW)[0]
    for younger in (erased + instant, None):
        assert weaknesses_of(erased, younger, daily, NOW) == []
    refuted = kept("refuted", NOW - timedelta(days=3))
    [problem] = weaknesses_of(erased, NOW, Rehearsals(daily.newest, refuted), NOW)
    assert "2 rows of threads" in problem


def test_each_drill_deletes_the_erased_from_its_copy_and_says_what_it_found(world: World) -> None:
    world.fill(segments=12)
    with copy_of(world) as (live, copy):
        live.connection.execute("DELETE FROM threads WHERE id = %s", (live.threads[0],))
        ship_records(live.run)
        step = rehearsal_in_drill(live.run)
        before = ProvenCopy("full-1", NOW, lambda: opened(copy))
        aftermath = step(before)
        assert aftermath.problem is None
        assert "1 deleted again" in aftermath.words
        # In the copy of a later point there is nobody left to delete.
        assert "0 deleted again" in step(replace(before, point="full-2", at=utc_now())).words
        held = newest_rehearsals(live.connection)
        assert held.newest is not None
        assert held.telling is not None
        assert (held.newest.point, held.telling.point) == ("full-2", "full-1")

        def unreachable() -> AbstractContextManager[Connection]:
            raise OpsError("the copy", cause="its server did not start", next_step="see its log")

        assert "its server did not start" in str(step(replace(before, open=unreachable)).problem)
        newest = newest_rehearsals(live.connection).newest
        assert newest is not None
        assert newest.found.verdict == "unknown"


def test_backups_hold_what_was_erased_until_the_ladders_last_rung() -> None:
    rules = Rules(days=7, weeks=4, months=12, floor=3, stale=timedelta(days=2))
    assert kept_at_most_until(datetime(2026, 1, 31, tzinfo=UTC), rules) == Month(2027, 1)
    assert kept_at_most_until(datetime(2026, 12, 1, tzinfo=UTC), rules) == Month(2027, 12)
