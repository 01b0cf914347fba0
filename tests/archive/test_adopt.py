"""The bucket alone suffices: ledger, holds and tombstones come back from it, whatever was lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from psycopg import sql

from ft_ops.archive.cancellation import cancel
from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.erase.held import record_archived
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.hold.holds import active_holds, add_hold, release_hold
from ft_ops.archive.keep.adopt import Adoption, adopt
from ft_ops.archive.keep.erased import living_erased
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.thaws import Purpose
from ft_ops.archive.recorded.records import read_records
from ft_ops.archive.recorded.ship import ship_records, unshipped
from ft_ops.archive.store.presence import missing
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.objects import objects, put_once
from tests.archive.test_holds import refused
from tests.archive.test_purge import die_behind
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database, created

OTHER = MONTH.plus(1)
PEOPLE = ("users", "families", "memory_books", "threads")
LEDGER = (
    "SELECT to_jsonb(a) - ARRAY['relation', 'relation_name'] FROM ops.archive AS a"
    " ORDER BY month, generation"
)
TOMBSTONES = "SELECT kind, id, month, erased_at FROM ops.erasures ORDER BY 1, 2"
# The archives are searched again for what they hold.
HOLDS = (
    "SELECT to_jsonb(h) - ARRAY['archived_months', 'archives_read_at', 'unlisted_months',"
    " 'arrivals', 'arrived_in']"
    " FROM ops.legal_holds AS h ORDER BY id"
)
NUMBERS = "SELECT * FROM ops.purged_segments ORDER BY id"


@contextmanager
def anew(world: World, template: Database) -> Iterator[World]:
    """The same bucket beside a new database, with the same people and threads, and no content."""
    other = Database(f"{world.database.name}_new", world.database.server_url)
    with (
        created(other, sql.Identifier(template.name)),
        connect(other.url, application="tests") as connection,
    ):
        copy_people(world.connection, connection)
        yield replace(world, database=other, connection=connection)


def copy_people(source: Connection, target: Connection) -> None:
    """The users, families, books and threads of one database into another."""
    for table in map(sql.Identifier, PEOPLE):
        target.execute(sql.SQL("CREATE TEMPORARY TABLE given (LIKE {})").format(table))
        with (
            source.cursor() as reading,
            target.cursor() as writing,
            reading.copy(sql.SQL("COPY {} TO STDOUT").format(table)) as found,
            writing.copy("COPY given FROM STDIN") as into,
        ):
            for row in found:
                into.write(row)
        target.execute(
            sql.SQL("INSERT INTO {} SELECT * FROM given ON CONFLICT DO NOTHING").format(table)
        )
        target.execute("DROP TABLE given")


@contextmanager
def kept_moment(world: World) -> Iterator[Database]:
    """The database as it is now, for a recovery to this moment; it is nobody's meanwhile."""
    world.connection.close()
    moment = Database(f"{world.database.name}_earlier", world.database.server_url)
    with created(moment, sql.Identifier(world.database.name)):
        yield moment


@contextmanager
def going_on(world: World) -> Iterator[World]:
    """The database behind the moment that was kept."""
    with connect(world.database.url, application="tests") as connection:
        yield replace(world, connection=connection)


@contextmanager
def recovered(world: World, moment: Database) -> Iterator[World]:
    """The same bucket beside the database as it was at a moment."""
    with connect(moment.url, application="tests") as connection:
        yield replace(world, database=moment, connection=connection)


def rows(world: World, query: str) -> list[tuple[object, ...]]:
    return world.connection.execute(query.encode()).fetchall()


def threads(world: World) -> set[object]:
    return {found for (found,) in rows(world, "SELECT id FROM threads")}


def ship(world: World) -> None:
    ship_records(world.run)
    assert unshipped(world.connection).records == 0


def die(*arguments: object) -> None:
    raise KeyboardInterrupt


def whole(done: Adoption) -> tuple[str, ...]:
    assert done.problems == ()
    return done.changes


@pytest.mark.usefixtures("begins_purged")
def test_every_month_is_thawed_from_the_bucket_alone(world: World, template: Database) -> None:
    world.fill(OTHER)
    world.archived_and_purged(OTHER)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    hold = add_hold(world.connection, user_id=world.users[0], reason="a court")
    record_archived(world.connection, world.bucket, hold)
    ended = add_hold(world.connection, month=OTHER, reason="a mistake")
    release_hold(world.connection, ended.id, "it was one")
    ship(world)
    known = {query: rows(world, query) for query in (TOMBSTONES, HOLDS, NUMBERS)}
    kept = {month: world.rows_when_thawed(month) for month in (MONTH, OTHER)}
    with anew(world, template) as new:
        assert whole(adopt(new.run, apply=False))
        assert rows(new, LEDGER) == []
        whole(adopt(new.run, apply=True))
        assert whole(adopt(new.run, apply=True)) == ()
        for query, found in known.items():
            assert rows(new, query) == found
        assert [g.state for g in generations(new.connection, MONTH)] == ["purged"]
        assert [h.id for h in active_holds(new.connection)] == [hold.id]
        # By what the archives have of him: the new database has never had it.
        assert refused(new.connection, "DELETE FROM threads WHERE id = %s", new.threads[0])
        for month, content in kept.items():
            assert new.rows_when_thawed(month) == content


@pytest.mark.parametrize(
    "statements",
    [n if n % 8 == 1 else pytest.param(n, marks=pytest.mark.chaos) for n in range(1, 41)],
)
@pytest.mark.usefixtures("begins_purged")
def test_killed_anywhere_and_run_again_it_is_the_same(
    world: World, template: Database, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    add_hold(world.connection, family_id=world.families[0], reason="a court")
    ship(world)

    class Killed(BaseException):
        pass

    with anew(world, template) as new:
        left = [statements]
        execute = type(new.connection).execute

        def dying(self: Connection, *arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return execute(self, *arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(type(new.connection), "execute", dying)
            with pytest.raises(Killed):
                adopt(new.run, apply=True)
        new.connection.close()
        with connect(new.database.url, application="tests") as again:
            resumed = replace(new, connection=again)
            whole(adopt(resumed.run, apply=True))
            for query in (LEDGER, TOMBSTONES, HOLDS, NUMBERS):
                assert rows(resumed, query) == rows(world, query)


def test_a_recovery_to_before_an_erasure_brings_nobody_back(world: World) -> None:
    world.fill()
    world.fill(OTHER)
    world.archived_and_purged()
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
            erase_month(live.run, live.ask(purpose="erasure"))
            with connect(live.database.url, application="tests") as other:
                with only_one(other, "archive records"):
                    [stays] = remove_superseded(live.run).failed
                assert "the bucket has no record yet that 2017-03 generation 2" in stays.cause
            # The disaster comes before anything else is shipped.
            assert remove_superseded(live.run).results
            kept = live.rows_when_thawed(MONTH)
        with recovered(world, earlier) as restored:
            assert restored.count("families") == 2
            done = whole(adopt(restored.run, apply=True))
            assert f"erased family {world.families[1]} is deleted" in done
            assert restored.count("families") == 1
            assert living_erased(restored.connection) == {}
            states = [(g.number, g.state) for g in generations(restored.connection, MONTH)]
            assert states == [(1, "superseded"), (2, "purged")]
            assert restored.rows_when_thawed(MONTH) == kept
            assert whole(adopt(restored.run, apply=True)) == ()


def test_a_hold_that_stands_by_now_keeps_what_it_holds_and_nothing_else(world: World) -> None:
    """Somebody has placed it in the recovered database, before it adopts what was erased since."""
    world.month(MONTH)
    near, far, other = (world.segment(thread=thread) for thread in (0, 2, 3))
    world.link(near, far, user=1)
    world.link(far, other, user=1)
    world.fill(OTHER)
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.connection.execute(
                "DELETE FROM content_links WHERE target_segment_id = %s", (far,)
            )
            live.connection.execute(
                "DELETE FROM content_links WHERE target_segment_id = %s", (other,)
            )
            live.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
            live.archived_and_purged(OTHER)
            ship(live)
        with recovered(world, earlier) as restored:
            held = add_hold(
                restored.connection, thread_id=restored.threads[0], reason="placed again"
            )
            problems = [str(problem) for problem in adopt(restored.run, apply=True).problems]
            assert len(problems) == 2
            assert f"erased thread {restored.threads[0]}: " in problems[0]
            assert f"legal hold {held.id} is on them" in problems[1]
            free = f"SELECT FROM content_links WHERE target_segment_id = '{other}'"
            assert not rows(restored, free)
            assert [g.state for g in generations(restored.connection, OTHER)] == ["purged"]
            release_hold(restored.connection, held.id, "settled")
            whole(adopt(restored.run, apply=True))
            assert restored.threads[0] not in threads(restored)


def test_what_was_proven_and_never_recorded_stands_in_nobodys_way(world: World) -> None:
    """The disaster came between the proof and its record: an adoption does not know of it."""
    world.fill(segments=4)
    world.move()
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            lost = live.archive()
        with recovered(world, earlier) as restored:
            [claimed] = whole(adopt(restored.run, apply=True))
            assert "this database claims the archive" in claimed
            assert restored.archive().number == 2
            found = missing(restored.connection, world.bucket)
            nobodys = found.pop("objects of nobody below archive")
            keys = {item.stored.key for item in lost.objects}
            assert {line.partition(":")[0] for line in nobodys} == keys
            assert found == {}


def test_rows_that_a_recovery_brought_back_stay_in_the_database(world: World) -> None:
    """Purged later than the moment: the table is there again, and its proof lies in the bucket."""
    world.fill()
    world.move()
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.freeze()
            live.verified_backup()
            live.purge()
            ship(live)
        with recovered(world, earlier) as restored:
            whole(adopt(restored.run, apply=True))
            assert restored.standing().state == "frozen"
            restored.verified_backup()
            purge = restored.purge()
            assert (purge.generation.state, purge.segments) == ("purged", 40)
            assert restored.count("content_segment_keys") == 0
            assert restored.thaw().left_out == {}


@pytest.mark.usefixtures("begins_archived")
def test_a_recovery_to_the_middle_of_a_purge_keeps_what_an_erasure_has_rewritten_since(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its objects are gone, so that no purge of it goes on: what is left is exported anew."""
    before = world.rows()
    world.verified_backup()
    die_behind(monkeypatch, world, 1)
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.purge()
            live.connection.execute("DELETE FROM threads WHERE id = %s", (live.threads[3],))
            erase_month(live.run, live.ask(purpose="erasure"))
            ship(live)
            remove_superseded(live.run)
        with recovered(world, earlier) as restored:
            assert restored.standing().state == "purging"
            left = f"{MONTH}: what a purge has left becomes the next generation"
            assert left in whole(adopt(restored.run, apply=False))
            assert left in whole(adopt(restored.run, apply=True))
            states = [(g.number, g.state) for g in generations(restored.connection, MONTH)]
            assert states == [(1, "superseded"), (2, "purged"), (3, "archived")]
            there = restored.count("archived_content_segments")
            # How many went in the batch is told by how long it took, and some are of the thread.
            assert 0 < there == restored.count("content_segment_keys") <= 30
            assert whole(adopt(restored.run, apply=True)) == ()
            restored.freeze()
            restored.verified_backup()
            assert restored.purge().segments == there
            kept = restored.rows_when_thawed()
            is_erased = {row[0]: row[1] == world.threads[3] for row in before["content_segments"]}
            for table, column in (("content_segments", 0), ("content_tags", 1)):
                expected = [row for row in before[table] if not is_erased[row[column]]]
                assert kept[table] == expected


@pytest.mark.usefixtures("begins_purged")
def test_a_recovery_to_a_thaw_whose_archive_was_rewritten_since_keeps_what_came_back(
    world: World,
) -> None:
    """The rewritten one lacks it: it was erased then, and restored later."""
    before = world.rows_when_thawed()["content_segments"]
    thread = world.threads[3]
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.refreeze()
            live.connection.execute("DELETE FROM threads WHERE id = %s", (thread,))
            erase_month(live.run, live.ask(purpose="erasure"))
            assert sum(remove_superseded(live.run).results)
            live.connection.execute(
                statement("restore/withdraw_erasures"),
                {"kinds": ["thread"], "ids": [thread], "reason": "a mistake", "run_id": None},
            )
            ship(live)
        with recovered(world, earlier) as restored:
            whole(adopt(restored.run, apply=True))
            states = [(g.number, g.state) for g in generations(restored.connection, MONTH)]
            assert states == [(1, "superseded"), (2, "purged")]
            done = restored.refreeze()
            assert (done.segments, done.thaw.state) == (0, "done")
            assert restored.standing().number == 3
            restored.freeze()
            restored.verified_backup()
            assert restored.purge().segments == 40
            assert restored.rows_when_thawed()["content_segments"] == before


@pytest.mark.parametrize(
    ("purpose", "is_begun"), [("thaw", False), ("erasure", False), ("erasure", True)]
)
@pytest.mark.usefixtures("begins_purged")
def test_a_recovery_to_what_waited_for_glacier_ends_it_where_the_archive_went_on(
    world: World, monkeypatch: pytest.MonkeyPatch, purpose: Purpose, is_begun: bool
) -> None:
    """Nothing of it can be read any more, and the month could not be thawed beside it."""
    erased = world.threads[3]
    world.connection.execute("DELETE FROM threads WHERE id = %s", (erased,))
    asked = world.ask(purpose=purpose)
    if is_begun:
        with monkeypatch.context() as patch:
            patch.setattr("ft_ops.archive.erase.erase.archive_content", die)
            with pytest.raises(KeyboardInterrupt):
                erase_month(world.run, asked)
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            if purpose == "thaw":
                cancel(live.run, MONTH)
            erase_month(live.run, live.ask(purpose="erasure"))
            ship(live)
            assert sum(remove_superseded(live.run).results)
            kept = live.rows_when_thawed()
        with recovered(world, earlier) as restored:
            for apply in (False, True):
                ended = f"{purpose} 1: {MONTH} ends: its archive was rewritten, or has more by now"
                assert ended in whole(adopt(restored.run, apply=apply))
            assert whole(adopt(restored.run, apply=True)) == ()
            states = [(g.number, g.state) for g in generations(restored.connection, MONTH)]
            assert states == [(1, "superseded"), (2, "purged")]
            assert restored.rows_when_thawed() == kept


def test_a_tombstone_whose_row_came_back_is_withdrawn(world: World, template: Database) -> None:
    world.fill(segments=2)
    columns = "id, source_segment_id, target_segment_id, link_type, created_by, created_at"
    world.connection.execute("CREATE TABLE taken AS SELECT * FROM content_links")
    world.connection.execute("DELETE FROM content_links")
    ship(world)
    world.connection.execute(
        f"INSERT INTO content_links ({columns}) SELECT {columns} FROM taken".encode()
    )
    # The bucket knows of the deletion, and not yet that it was undone.
    assert whole(adopt(world.run, apply=False)) == ()
    assert whole(adopt(world.run, apply=True)) == ()
    assert world.count("content_links") == world.count("taken") > 0
    ship(world)
    with anew(world, template) as new:
        whole(adopt(new.run, apply=True))
        assert new.count("ops.erased_rows") == 0


def test_what_a_restore_brought_back_is_not_deleted_again(world: World, template: Database) -> None:
    """Its tombstone was withdrawn, here and in a database that is made anew or was recovered."""
    world.fill()
    erased, withdrawn = world.threads[0], world.threads[1]
    columns = "id, memory_book_id, started_by, title"
    world.connection.execute(
        "CREATE TABLE taken AS SELECT * FROM threads WHERE id = %s", (withdrawn,)
    )
    world.connection.execute("DELETE FROM threads WHERE id = ANY (%s)", ([erased, withdrawn],))
    ship(world)
    with world.connection.transaction():
        world.connection.execute(
            statement("restore/withdraw_erasures"),
            {"kinds": ["thread"], "ids": [withdrawn], "reason": "a mistake", "run_id": None},
        )
        world.connection.execute(
            f"INSERT INTO threads ({columns}) SELECT {columns} FROM taken".encode()
        )
    ship(world)
    assert whole(adopt(world.run, apply=True)) == ()
    assert withdrawn in threads(world)
    with anew(world, template) as new:
        whole(adopt(new.run, apply=True))
        assert rows(new, TOMBSTONES) == rows(world, TOMBSTONES)
        assert new.count("ops.withdrawn_erasures") == 1
        assert withdrawn in threads(new)
        assert erased not in threads(new)
        assert whole(adopt(new.run, apply=True)) == ()


def test_what_is_deleted_again_after_its_restore_stays_deleted(
    world: World, template: Database
) -> None:
    thread = world.threads[0]
    columns = "id, memory_book_id, started_by, title"
    world.connection.execute("CREATE TABLE taken AS SELECT * FROM threads WHERE id = %s", (thread,))
    world.connection.execute("DELETE FROM threads WHERE id = %s", (thread,))
    world.connection.execute(
        statement("restore/withdraw_erasures"),
        {"kinds": ["thread"], "ids": [thread], "reason": "a mistake", "run_id": None},
    )
    world.connection.execute(
        f"INSERT INTO threads ({columns}) SELECT {columns} FROM taken".encode()
    )
    with anew(world, template) as new:
        assert thread in threads(new)
        world.connection.execute("DELETE FROM threads WHERE id = %s", (thread,))
        ship(world)
        whole(adopt(new.run, apply=True))
        assert thread not in threads(new)
        assert rows(new, TOMBSTONES) == rows(world, TOMBSTONES)


def overwrite(world: World, folder: str) -> None:
    """Put something else above the newest record of a folder."""
    [*_, key] = (o.key for o in objects(world.bucket, f"archive/records/{folder}"))
    world.bucket.client.put_object(Bucket=world.bucket.name, Key=key, Body=b"{}")


@pytest.mark.usefixtures("begins_purged")
def test_beside_a_batch_that_can_not_be_read_the_rest_is_adopted_and_nothing_deleted(
    world: World, template: Database
) -> None:
    """It may hold the withdrawal of the tombstone that another batch has."""
    add_hold(world.connection, month=OTHER, reason="a court", force=True)
    ship(world)
    with anew(world, template) as new:
        # Made before the deletion: the thread is in the new database.
        world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
        ship(world)
        overwrite(world, "events/")
        done = adopt(new.run, apply=True)
        [problem] = done.problems
        assert "records/events/" in problem.name
        assert "not what was written" in problem.cause
        assert [g.state for g in generations(new.connection, MONTH)] == ["purged"]
        assert world.threads[0] in threads(new)


@pytest.mark.usefixtures("begins_parted")
def test_beside_a_row_of_the_ledger_that_can_not_be_read_other_months_are_adopted(
    world: World, template: Database
) -> None:
    ship(world)
    overwrite(world, f"ledger/{MONTH}")
    with anew(world, template) as new:
        [problem] = adopt(new.run, apply=True).problems
        assert f"records/ledger/{MONTH}" in problem.name
        assert generations(new.connection, MONTH) == []
        assert [g.state for g in generations(new.connection, OTHER)] == ["purged"]


@pytest.mark.usefixtures("begins_parted")
def test_a_month_that_is_adopted_later_is_searched_for_the_holds_that_stand(
    world: World, template: Database
) -> None:
    """The first run has searched what it could adopt, and the hold counted as searched for."""
    add_hold(world.connection, thread_id=world.threads[0], reason="a court")
    ship(world)
    with anew(world, template) as new:
        with (
            connect(new.database.url, application="tests") as busy,
            only_one(busy, f"archive {MONTH}"),
        ):
            [problem] = adopt(new.run, apply=True).problems
        assert f"adoption of {MONTH}" in problem.name
        whole(adopt(new.run, apply=True))
        [placed] = active_holds(new.connection)
        assert placed.archived_months == [MONTH.first_day]
        assert refused(new.connection, "DELETE FROM threads WHERE id = %s", world.threads[3])


@pytest.mark.usefixtures("begins_purged")
def test_what_somebody_else_put_among_the_records_is_named_and_stops_nothing(
    world: World, template: Database
) -> None:
    ship(world)
    put_once(world.bucket, "archive/records/ledger/README.txt", b"hands off")
    forged = b'{"month": "2017-04"}'
    name = f"20260101T000000000000-frozen-{hashlib.sha256(forged).hexdigest()[:32]}.json"
    put_once(world.bucket, f"archive/records/ledger/{OTHER}/gen=1/{name}", forged)
    with anew(world, template) as new:
        done = adopt(new.run, apply=True)
        said = {problem.name.rpartition("/records/")[2]: problem.cause for problem in done.problems}
        assert "not what was written" in said["ledger/README.txt"]
        assert "no record of ours: KeyError" in said[f"ledger/{OTHER}/gen=1/{name}"]
        assert [g.state for g in generations(new.connection, MONTH)] == ["purged"]


@pytest.mark.usefixtures("begins_purged")
def test_what_is_gone_from_the_bucket_is_named_and_shipped_again(world: World) -> None:
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    add_hold(world.connection, month=OTHER, reason="a court", force=True)
    ship(world)
    assert whole(adopt(world.run, apply=False)) == ()
    for record in list(objects(world.bucket, "archive/records/")):
        world.bucket.client.delete_object(Bucket=world.bucket.name, Key=record.key)
    assert whole(adopt(world.run, apply=False)) == (
        "2 tombstones and holds are to be shipped to the bucket again",
        f"{MONTH} generation 1 is to be recorded in the bucket again",
    )
    whole(adopt(world.run, apply=True))
    ship_records(world.run)
    assert whole(adopt(world.run, apply=False)) == ()


@pytest.mark.usefixtures("begins_purged")
def test_shipping_twice_or_after_a_death_adds_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    before = read_records(world.target)
    assert before.events == ()

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.recorded.ship.put_document", die)
        with pytest.raises(KeyboardInterrupt):
            ship_records(world.run)
    ship(world)
    first = read_records(world.target)
    keys = len(list(objects(world.bucket, "archive/records/")))
    assert ship_records(world.run).events == 0
    assert len(list(objects(world.bucket, "archive/records/"))) == keys
    assert read_records(world.target) == first
    assert {event.kind for event in first.events} == {"erasure"}


@pytest.mark.parametrize("changed", ["bucket", "prefix"])
@pytest.mark.usefixtures("begins_purged")
def test_another_folder_gets_all_that_was_recorded_before(
    world: World, template: Database, changed: str
) -> None:
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    released = add_hold(world.connection, reason="a case", user_id=world.users[2])
    add_hold(world.connection, reason="another", user_id=world.users[3])
    release_hold(world.connection, released.id, "closed")
    ship(world)
    target = world.target
    if changed == "bucket":
        name = f"{world.bucket.name}-next"
        world.bucket.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        target = replace(target, bucket=open_bucket(name))
    else:
        target = replace(target, prefix="another/folder")
    run = replace(world.run, open_target=lambda: target)
    # Whoever adopts from a wrong place is not told that all is well.
    assert adopt(run, apply=False).empty == run.folder.url
    ship_records(run)
    assert ship_records(run).events == 0
    assert adopt(run, apply=False).empty == ""
    recorded = read_records(target)
    assert [(month, number) for month, number in recorded.generations] == [(MONTH, 1)]
    with anew(world, template) as new:
        adopt(replace(new.run, open_target=lambda: target), apply=True)
        for query in (TOMBSTONES, HOLDS):
            assert rows(new, query) == rows(world, query)


def test_what_was_added_after_the_moment_comes_back_with_a_thaw(world: World) -> None:
    """A tag of a segment that the recovered database has, and a link between two such."""
    first, second, _ = world.fill(segments=3)
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.children(second)
            live.link(second, first)
            late = live.segment()
            kept = live.rows(segments="content_segments")
            live.archived_and_purged()
            ship(live)
        with recovered(world, earlier) as restored:
            for apply in (False, True):
                lines = whole(adopt(restored.run, apply=apply))
                assert any(f"1 segments, {second} among them, are here" in line for line in lines)
                assert any(f"2 segments and links, {late} among them" in line for line in lines)
            assert whole(adopt(restored.run, apply=True)) == ()
            # What goes by itself after the recovery is gone.
            had = f"DELETE FROM content_tags WHERE content_segment_id = '{first}'"
            restored.connection.execute(had.encode())
            restored.move()
            with pytest.raises(Refused, match="as they were before they were archived"):
                restored.freeze()
            restored.thaw()
            restored.freeze()
            kept["content_tags"] = [row for row in kept["content_tags"] if row[1] != first]
            assert restored.rows() == kept
            restored.refreeze()
            restored.verified_backup()
            restored.purge()
            assert restored.rows_when_thawed() == kept


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_link_that_was_moved_after_the_moment_comes_back(world: World, is_archived: bool) -> None:
    """Where it was, unless an archive has it where it was moved to."""
    source, target, other = world.fill(segments=3)
    world.archived_and_purged()
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.thaw()
            live.connection.execute(
                "UPDATE content_links SET target_segment_id = %s RETURNING id", (other,)
            )
            if is_archived:
                live.refreeze()
                live.freeze()
            ship(live)
        with recovered(world, earlier) as restored:
            whole(adopt(restored.run, apply=True))
            assert whole(adopt(restored.run, apply=True)) == ()
            assert restored.thaw().left_out == {}
            ends = rows(restored, "SELECT source_segment_id, target_segment_id FROM content_links")
            assert ends == [(source, other if is_archived else target)]
            # The bucket does not say any more that it is not there.
            ship(restored)
            assert whole(adopt(restored.run, apply=True)) == ()


@pytest.mark.parametrize("folder", ["ledger", "events"])
def test_no_link_is_where_it_was_while_a_record_can_not_be_read(world: World, folder: str) -> None:
    """It may be that of the archive that has the link in its new place, or of a later deletion."""
    *_, other = world.fill(segments=3)
    world.archived_and_purged()
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.thaw()
            live.connection.execute("UPDATE content_links SET target_segment_id = %s", (other,))
            live.refreeze()
            live.freeze()
            ship(live)
            live.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
            ship(live)
        overwrite(world, f"{folder}/")
        with recovered(world, earlier) as restored:
            done = adopt(restored.run, apply=True)
            assert len(done.problems) == 1
            assert not any("moves of links" in line for line in done.changes)
            assert restored.count("ops.unshipped_records") == 0


def test_a_move_counts_where_an_archive_without_lists_may_have_the_link(world: World) -> None:
    """Those of earlier versions had none."""
    *_, other = world.fill(segments=3)
    world.archived_and_purged()
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            live.thaw()
            live.connection.execute("UPDATE content_links SET target_segment_id = %s", (other,))
            live.refreeze()
            live.freeze()
            live.connection.execute(
                "UPDATE ops.archive SET objects = (SELECT jsonb_agg(o) FROM"
                " jsonb_array_elements(objects) AS o WHERE o ->> 'table' !~ '^proven_')"
            )
            ship(live)
        with recovered(world, earlier) as restored:
            assert not any(
                "moves of links" in line for line in whole(adopt(restored.run, apply=True))
            )
            assert restored.count("ops.unshipped_records") == 0


def test_a_thaw_settles_whatever_a_recovery_brought_back_as_it_was(world: World) -> None:
    """Made anew under another key, or erased in the archive: its month is not held up for ever."""
    first, second, _ = world.fill(segments=3)
    world.children(second)
    with kept_moment(world) as earlier:
        with going_on(world) as live:
            for table in ("content_tags", "photo_narrations"):
                live.connection.execute(
                    f"UPDATE {table} SET id = gen_random_uuid()"
                    " WHERE content_segment_id = %s".encode(),
                    (first,),
                )
            live.connection.execute(
                "UPDATE content_segments SET user_id = %s WHERE id = %s", (world.users[1], second)
            )
            live.archived_and_purged()
            ship(live)
        with recovered(world, earlier) as restored:
            before = restored.rows(segments="content_segments")
            whole(adopt(restored.run, apply=True))
            assert restored.count("ops.earlier_segments") == 2
            restored.connection.execute("DELETE FROM users WHERE id = %s", (world.users[1],))
            erase_month(restored.run, restored.ask(purpose="erasure"))
            restored.move()
            with pytest.raises(Refused, match="given up by deleting the rows of 2017-03-01"):
                restored.freeze()
            restored.thaw()
            assert restored.freeze().state == "frozen"
            assert restored.rows() == before


def test_what_is_deleted_after_a_second_recovery_stays_deleted(world: World) -> None:
    """It was added after the first one, and its segment was noted then as it was."""
    _, second, _ = world.fill(segments=3)
    world.connection.close()
    moments = [
        Database(f"{world.database.name}_{name}", world.database.server_url)
        for name in ("earlier", "later")
    ]
    with created(moments[0], sql.Identifier(world.database.name)):
        with connect(world.database.url, application="tests") as connection:
            live = replace(world, connection=connection)
            live.children(second)
            live.archived_and_purged()
            ship(live)
        with recovered(world, moments[0]) as restored:
            whole(adopt(restored.run, apply=True))
            restored.connection.execute(
                "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
                " VALUES (%s, 'later', %s)",
                (second, world.users[1]),
            )
        with created(moments[1], sql.Identifier(moments[0].name)):
            with recovered(world, moments[0]) as restored:
                restored.move()
                restored.thaw()
                restored.freeze()
                ship(restored)
            with recovered(world, moments[1]) as again:
                whole(adopt(again.run, apply=True))
                again.connection.execute("DELETE FROM content_tags WHERE tag_name = 'later'")
                again.move()
                again.thaw()
                assert (again.count("content_tags"), again.count("photo_narrations")) == (2, 2)
                assert again.freeze().state == "frozen"


def test_holds_that_two_databases_gave_one_number_are_both_adopted(
    world: World, template: Database
) -> None:
    """The second one was placed in a recovered database before that had adopted the first."""
    first = add_hold(world.connection, user_id=world.users[0], reason="a court")
    ship(world)
    # Its moment is written down as the session of whoever changes it has it.
    world.connection.execute("SET TimeZone TO 'Asia/Kolkata'")
    world.connection.execute("UPDATE ops.legal_holds SET archives_read_at = clock_timestamp()")
    world.connection.execute("SET TimeZone TO 'UTC'")
    ship(world)
    with anew(world, template) as new:
        second = add_hold(new.connection, user_id=new.users[1], reason="another")
        assert second.id == first.id
        whole(adopt(new.run, apply=True))
        [ended] = [hold.id for hold in active_holds(new.connection) if hold.reason == "a court"]
        release_hold(new.connection, ended, "settled")
        ship(new)
        with anew(new, template) as third:
            whole(adopt(third.run, apply=True))
            assert [hold.reason for hold in active_holds(third.connection)] == ["another"]
            assert third.count("ops.legal_holds") == 2
            assert whole(adopt(third.run, apply=True)) == ()
