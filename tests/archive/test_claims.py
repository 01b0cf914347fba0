"""One database for each archive: a copy that runs with the same settings is noticed, by both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql
from psycopg.types.json import Jsonb

from ft_ops.archive.claims import claim as claiming
from ft_ops.archive.claims import records
from ft_ops.archive.claims.claim import claim, identity_of, require_folder, take_over
from ft_ops.archive.claims.records import claim_key, first_claim, read_claims
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.keep.adopt import adopt
from ft_ops.archive.month.ledger import generations, supersede
from ft_ops.archive.purge.purge import purge_month
from ft_ops.archive.recorded import removal
from ft_ops.archive.recorded.records import read_records
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.run import ClaimedFolder
from ft_ops.errors import OpsError, Refused
from ft_ops.items import SomeFailed
from ft_ops.pg import server as servers
from ft_ops.pg.connect import connect
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import (
    Version,
    delete_version,
    hide,
    objects,
    put_once,
    read_version,
    replace_current,
    versions,
)
from tests.archive.test_adopt import anew
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database, created


@contextmanager
def copied(world: World) -> Iterator[World]:
    """A copy of the database on the same server, with the same settings and bucket."""
    other = Database(f"{world.database.name}_copy", world.database.server_url)
    world.connection.close()
    with (
        created(other, sql.Identifier(world.database.name)),
        connect(other.url, application="tests") as connection,
        connect(world.database.url, application="tests") as original,
    ):
        world.connection = original
        yield replace(world, database=other, connection=connection)


@contextmanager
def promoted(world: World) -> Iterator[World]:
    """A copy of its files, which nothing tells from it: a disk's snapshot, a twin."""
    with copied(world) as twin:
        twin.connection.execute(
            "UPDATE ops.records_claims SET database_oid = (SELECT oid FROM pg_database"
            " WHERE datname = current_database())"
        )
        yield twin


def erase(world: World, thread: int) -> None:
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[thread],))


def numbers(bucket: Bucket) -> list[int]:
    return [found.number for found in read_claims(bucket, "archive").known]


def has(world: World, thread: int) -> bool:
    query = "SELECT FROM threads WHERE id = %s"
    return world.connection.execute(query, (world.threads[thread],)).fetchone() is not None


def keys(bucket: Bucket) -> list[str]:
    return [found.key for found in objects(bucket, "archive/")]


@pytest.mark.usefixtures("begins_archived")
def test_a_copy_with_the_same_settings_writes_and_removes_nothing(world: World) -> None:
    following = supersede(world.connection, world.standing(), "for the test", "test")
    erase(world, 3)
    ship_records(world.run)
    before = keys(world.bucket)
    with copied(world) as copy:
        erase(copy, 0)
        leftovers = Jsonb([{"key": "archive/a", "version_id": "b"}])
        copy.connection.execute("UPDATE ops.archive SET leftovers = %s", (leftovers,))
        with pytest.raises(Refused, match="it is a copy of the one that made claim"):
            ship_records(copy.run)
        # It says who made it, where and when, which the database alone does not know.
        made = (
            rf"made claim 2 \(records, 20.*\) by {world.database.name} at a local socket \(system"
        )
        with pytest.raises(Refused, match=f"it is a copy of the one that {made}"):
            remove_superseded(copy.run)
        with pytest.raises(Refused, match="run ft-ops archive adopt --apply"):
            copy.freeze()
        [gate] = [g for g in copy.plan().gates if g.name == "one database for the archive"]
        assert not gate.passed
        assert keys(world.bucket) == before
        # With a folder of its own it is a database like any other.
        target = replace(copy.target, prefix="staging")
        assert ship_records(replace(copy.run, open_target=lambda: target)).events
        erase(world, 1)
        assert ship_records(world.run).events
        assert following.number == 2
        assert adopt(world.run, apply=False).changes == ()


@pytest.mark.usefixtures("begins_archived")
def test_of_two_twins_one_removes_rows_and_the_other_is_refused(
    world: World, template: Database
) -> None:
    """Both were about to, and nothing was shipped so far: neither knew of the other."""
    world.verified_backup()
    before = world.rows()
    with promoted(world) as twin:
        plan = twin.plan()
        assert plan.decision == "purge"
        assert world.purge().generation.state == "purged"
        with pytest.raises(Refused, match=r"has made claim 2 \(purge of 2017-03 generation 1, "):
            purge_month(twin.run, plan, twin.throttle())
        assert (twin.rows(), twin.standing().state) == (before, "frozen")
        # Were it lost before anything was shipped: the purge has told the bucket of the rows.
        with anew(world, template) as new:
            assert adopt(new.run, apply=True).problems == ()
            assert new.rows_when_thawed() == before
            new.refreeze()
    assert read_claims(world.bucket, "archive").known[-1].why.startswith("refreeze of thaw")


def test_rows_stay_where_the_bucket_does_not_keep_what_it_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is half purged is put back when the record of it is gone."""
    world.fill(segments=8)
    world.archive()
    world.verified_backup()
    plan, before = world.plan(), world.rows()
    with monkeypatch.context() as patch:
        patch.setattr(removal, "put_document", lambda bucket, document: None)
        with pytest.raises(OpsError, match="records/ledger/2017-03/gen=1/"):
            purge_month(world.run, plan, world.throttle())
    assert (world.rows(), world.standing().state) == (before, "frozen")
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    throttle = world.throttle()
    with monkeypatch.context() as patch:
        patch.setattr(type(throttle), "wait", _dies_at_the_third())
        with pytest.raises(KeyboardInterrupt):
            purge_month(world.run, plan, throttle)
    [record] = objects(world.bucket, "archive/records/ledger/")
    hide(world.bucket, record.key)
    assert world.plan().decision == "put back"
    assert "there is none of 2017-03 generation 1" in world.purge().stopped
    assert 0 < len(world.rows()["content_segments"]) < 8


def _dies_at_the_third() -> Callable[[object], None]:
    left = [None, None]

    def wait(throttle: object) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()

    return wait


def test_what_a_twin_has_recorded_is_not_adopted_but_disowned(world: World) -> None:
    erase(world, 3)
    ship_records(world.run)
    with promoted(world) as twin:
        erase(twin, 0)
        erase(twin, 1)
        ship_records(twin.run)
        erase(world, 2)
        with pytest.raises(Refused, match=r"another database than this one has made claim 2 \(rec"):
            ship_records(world.run)
        with pytest.raises(Refused, match="last claim is 1"):
            require_folder(world.run.folder)
        looked = adopt(world.run, apply=False)
        assert "is a copy that writes into this archive" in looked.problems[0].next_step
        with pytest.raises(SomeFailed, match="claims 2 of the archive"):
            adopt(world.run, apply=True)
        with pytest.raises(Refused, match="claim 1 of the archive"):
            adopt(world.run, apply=True, disown=[1])
        assert has(world, 0)
        done = adopt(world.run, apply=True, disown=[2])
        assert done.problems == ()
        assert done.changes[-1] == "what claims 2 have recorded is disowned"
        assert has(world, 0)
        ship_records(world.run)
        erased = {event.record["id"] for event in read_records(world.target).events}
        assert erased == {str(world.threads[2]), str(world.threads[3])}
        # The twin is the one that has to stop now.
        erase(twin, 2)
        with pytest.raises(Refused, match="another database"):
            ship_records(twin.run)
        assert adopt(world.run, apply=False).changes == ()
        # Whoever runs the twin takes it for the one. What it has disowned goes on to count.
        assert adopt(twin.run, apply=True, disown=[3, 4]).problems == ()
        found = read_records(world.target, disown=[5]).events
        assert {event.record["id"] for event in found} == erased
        [claimed, disowned] = adopt(world.run, apply=True, disown=[5]).changes
        assert "which was claimed by claim 5" in claimed
        assert disowned == "what claims 5 have recorded is disowned"
        assert read_claims(world.bucket, "archive").disowned() == {2, 5}


@pytest.mark.usefixtures("begins_archived")
def test_a_claim_that_is_gone_while_a_later_one_is_there_is_noticed(world: World) -> None:
    """A copy has made both. Who sees the first place free has not seen that somebody was there."""
    world.verified_backup()
    erase(world, 3)
    ship_records(world.run)
    with promoted(world) as twin:
        for thread in (0, 1):
            erase(twin, thread)
            ship_records(twin.run)
        [*_, lost, last] = numbers(world.bucket)
        _taken_away(world.bucket, claim_key("archive", lost))
        [gate] = [g for g in world.plan().gates if g.name == "one database for the archive"]
        assert f"claim {lost} is not there, and claim {last} is" in gate.detail
        with pytest.raises(Refused, match=f"claim {lost} is not there"):
            removal.claim_removal(world.run, [world.standing()], "removal")
        assert numbers(world.bucket) == [*range(1, lost), last]
        looked = adopt(world.run, apply=False)
        assert any(f"claim {lost} is not there" in line for line in looked.changes)
        assert adopt(world.run, apply=True, disown=[last]).problems == ()
        assert world.purge().generation.state == "purged"


@pytest.mark.usefixtures("begins_archived")
def test_of_the_moment_of_a_record_that_does_not_count_another_is_written(world: World) -> None:
    """A disowned twin's, which names the very same one; one from before the ledger had a column."""
    world.verified_backup()
    before = world.rows()
    for number in range(8):
        world.connection.execute("ALTER TABLE ops.archive DISABLE TRIGGER set_updated_at")
        world.connection.execute(
            "UPDATE ops.archive SET sha256 = sha256 || jsonb_build_object('later', %s::int)",
            (number,),
        )
        world.connection.execute("ALTER TABLE ops.archive ENABLE TRIGGER set_updated_at")
        # Of one moment the digest in its name alone would tell which record is the newest.
        removal.claim_removal(world.run, [world.standing()], "removal")
    world.connection.execute("UPDATE ops.archive SET sha256 = sha256 - 'later'")
    with promoted(world) as twin:
        ship_records(twin.run)
        [*_, last] = numbers(world.bucket)
        assert adopt(world.run, apply=True, disown=[last]).problems == ()
        assert not removal.is_recorded(world.run, world.standing())
        claimed = claim_key("archive", last)
        body = _taken_away(world.bucket, claimed)
        [gate] = [g for g in world.plan().gates if g.name == "record in the bucket"]
        assert not gate.passed
        assert "it was disowned, and is not there" in gate.detail
        put_once(world.bucket, claimed, body)
        assert world.purge().generation.state == "purged"
        assert world.rows_when_thawed() == before


def _taken_away(bucket: Bucket, key: str) -> bytes:
    [version] = versions(bucket, key)
    body = read_version(bucket, version)
    delete_version(bucket, key, version.version_id)
    return body


def test_who_stands_in_its_place_adopts_first(world: World, template: Database) -> None:
    erase(world, 3)
    ship_records(world.run)
    with anew(world, template) as new:
        new.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[2],))
        with pytest.raises(Refused, match="another database than this one has made claim 1"):
            ship_records(new.run)
        done = adopt(new.run, apply=True)
        assert done.problems == ()
        assert "this database claims the archive, which was claimed by claim 1" in done.changes[-1]
        assert adopt(new.run, apply=True).changes == ()
        assert ship_records(new.run).events == 1
        erase(world, 1)
        with pytest.raises(Refused, match=r"claim 2 \(taken over, "):
            ship_records(world.run)


def test_an_adoption_that_meets_a_problem_takes_nothing_over_and_says_so(
    world: World, template: Database
) -> None:
    erase(world, 3)
    ship_records(world.run)
    strange = "archive/records/ledger/strange/gen=1/somebody.json"
    put_once(world.bucket, strange, b"{}")
    with anew(world, template) as new:
        assert "claims the archive" in adopt(new.run, apply=False).changes[-1]
        done = adopt(new.run, apply=True)
        assert strange in str(done.problems[0])
        assert not [line for line in done.changes if "claims the archive" in line]
        assert numbers(world.bucket) == [1]
        with pytest.raises(Refused, match="another database than this one has made claim 1"):
            ship_records(new.run)


def test_a_recovered_or_promoted_one_removes_nothing_before_it_has_adopted(world: World) -> None:
    erase(world, 3)
    ship_records(world.run)
    world.connection.execute("UPDATE ops.records_claims SET timeline = timeline - 1")
    erase(world, 2)
    ship_records(world.run)
    with pytest.raises(Refused, match="it was recovered or promoted since"):
        claim(world.run.folder, "removal", removes=True)
    assert "claims the archive anew" in adopt(world.run, apply=True).changes[-1]
    claim(world.run.folder, "removal", removes=True)
    assert numbers(world.bucket) == [1, 2, 3, 4]


def test_whoever_reads_all_claims_asks_for_few_of_the_old_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        claim(world.run.folder, f"{number}", [f"archive/records/events/{number}"])
    [*_, last] = read_claims(world.bucket, "archive").known
    monkeypatch.setattr(records, "EARLIER", 4)
    with promoted(world) as twin:
        claim(twin.run.folder, "a twin's", ["archive/records/events/x"])
        take_over(world.run.folder, first_claim(world.bucket, claim_key("archive", 4)), [4])
        for number in range(6, 10):
            claim(world.run.folder, f"{number}")
    asked: list[str] = []

    def counted(bucket: Bucket, version: Version) -> bytes:
        asked.append(version.key)
        return read_version(bucket, version)

    monkeypatch.setattr("ft_ops.archive.claims.records.read_version", counted)
    found = read_claims(world.bucket, "archive")
    assert [f"{c.number}: {c.why}" for c in found.known] == [
        *("1: 1", "2: 2", "3: 3", "4: a twin's", "5: taken over"),
        *("6: 6", "7: 7", "8: 8", "9: 9"),
    ]
    assert sorted(asked) == [claim_key("archive", number) for number in (4, 8, 9)]
    assert last in found.known, "it is what it was, word for word"
    assert found.ignored() == {"archive/records/events/x"}
    # What is removed by hand is known all the same, and what was put above does not count.
    for version in versions(world.bucket, claim_key("archive", 2)):
        delete_version(world.bucket, version.key, version.version_id)
    replace_current(world.bucket, claim_key("archive", 8), b"{}")
    assert read_claims(world.bucket, "archive") == found


def test_nothing_to_ship_claims_nothing(world: World) -> None:
    ship_records(world.run)
    adopt(world.run, apply=True)
    assert numbers(world.bucket) == []


@pytest.mark.chaos
def test_a_copy_that_claims_first_of_all_is_not_adopted_by_who_recorded_before(
    world: World,
) -> None:
    """Both come from a version without claims."""
    erase(world, 3)
    ship_records(world.run)
    world.connection.execute("DELETE FROM ops.records_claims")
    for version in list(versions(world.bucket, "archive/records/claims/")):
        delete_version(world.bucket, version.key, version.version_id)
    with copied(world) as copy:
        erase(copy, 0)
        ship_records(copy.run)
        with pytest.raises(SomeFailed, match="claims 1 of the archive"):
            adopt(world.run, apply=True)
        assert adopt(world.run, apply=True, disown=[1]).problems == ()
        assert has(world, 0)
        claim(world.run.folder, "next")
        # Whoever says so takes over what was recorded, and is believed.
        assert adopt(copy.run, apply=True, take_over=True).problems == ()
        with pytest.raises(Refused, match="claim 4"):
            claim(world.run.folder, "next")


@pytest.mark.chaos
def test_a_server_that_hides_its_control_file_claims_all_the_same(world: World) -> None:
    place = conninfo.make_conninfo(world.database.server_url, dbname=world.database.name)
    with psycopg.connect(place, autocommit=True) as owner:
        owner.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    erase(world, 3)
    assert ship_records(world.run).events == 1
    with copied(world) as copy:
        erase(copy, 2)
        with pytest.raises(Refused, match="it is a copy of the one that made claim 1"):
            ship_records(copy.run)


@pytest.mark.chaos
def test_killed_between_a_claim_and_its_records_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase(world, 3)

    def dies(*arguments: Any) -> None:
        put_once(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(claiming, "put_once", dies)
        with pytest.raises(KeyboardInterrupt):
            ship_records(world.run)
    with promoted(world) as twin:
        # Made before anybody knew of the answer, it knows that claim, too: the next one decides.
        assert ship_records(twin.run).events == 1
        with pytest.raises(Refused, match="another database"):
            ship_records(world.run)
    assert numbers(world.bucket) == [1, 2]


@pytest.mark.chaos
def test_a_promoted_server_is_another_before_its_first_checkpoint_has_ended(
    place: Path, bucket: Bucket
) -> None:
    """Until then its control file names the timeline that it was on as a standby."""
    bin_dir = servers.reachable_binaries(servers.embedded_binaries(), place / "postgres")
    server = servers.Server(bin_dir, place / "data", place / "run")
    servers.initialise(server)
    # What is replayed is to be dirty still: that checkpoint takes its time over it.
    servers.configure(server, {"bgwriter_lru_maxpages": "0", "shared_buffers": "64MB"})
    with servers.running(server, stop_mode="immediate"), psycopg.connect(server.url()) as before:
        before.execute(
            "CREATE TABLE dirty AS SELECT repeat('x', 900) FROM generate_series(1, 9000)"
        )
        before.commit()
        was = identity_of(ClaimedFolder(before, bucket, "archive"))
    (server.data_dir / "standby.signal").touch()
    servers.hand_over(server.data_dir)
    with (
        servers.running(server, stop_mode="immediate"),
        psycopg.connect(server.url(), autocommit=True) as after,
    ):
        folder = ClaimedFolder(after, bucket, "archive")
        assert identity_of(folder) == was
        after.execute("SELECT pg_promote()")
        control = "SELECT timeline_id FROM pg_control_checkpoint()"
        assert after.execute(control).fetchall() == [(was.timeline,)]
        assert identity_of(folder) == replace(was, timeline=was.timeline + 1)


def overwrites(bucket: Bucket, key: str, body: bytes) -> None:
    """An endpoint that knows no conditions: whoever writes last lies above."""
    replace_current(bucket, key, body)


@pytest.mark.chaos
def test_of_two_at_once_the_first_has_it_also_without_conditional_writes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase(world, 3)
    ship_records(world.run)
    with promoted(world) as twin:
        monkeypatch.setattr(claiming, "put_once", overwrites)
        claim(twin.run.folder, "first")
        with pytest.raises(Refused, match=r"claim 2 \(first, "):
            claim(world.run.folder, "second")
        assert len(list(versions(world.bucket, claim_key("archive", 2)))) == 2
        assert [found.why for found in read_claims(world.bucket, "archive").known] == [
            "records",
            "first",
        ]
        claim(twin.run.folder, "third")


@pytest.mark.chaos
def test_a_claim_of_somebody_else_stops_an_adoption_until_it_is_understood(world: World) -> None:
    erase(world, 3)
    ship_records(world.run)
    stored = world.bucket.client.put_object(
        Bucket=world.bucket.name, Key=claim_key("archive", 2), Body=json.dumps({"number": 2})
    )
    with pytest.raises(OpsError, match="it is no claim of ours: KeyError"):
        claim(world.run.folder, "next")
    with pytest.raises(SomeFailed, match="no claim of ours"):
        adopt(world.run, apply=True)
    delete_version(world.bucket, claim_key("archive", 2), stored["VersionId"])
    claim(world.run.folder, "next")


@pytest.mark.chaos
def test_the_second_copy_knows_whose_archive_it_is(world: World, second_bucket: Bucket) -> None:
    erase(world, 3)
    ship_records(world.run)
    for found in objects(world.bucket, "archive/records/"):
        body = world.bucket.client.get_object(Bucket=world.bucket.name, Key=found.key)
        second_bucket.client.put_object(
            Bucket=second_bucket.name, Key=found.key, Body=body["Body"].read()
        )
    target = replace(world.target, bucket=second_bucket)
    run = replace(world.run, open_target=lambda: target)
    assert ship_records(run).events == 1
    assert numbers(second_bucket) == [1, 2]
    assert generations(world.connection, MONTH) == []


def test_what_happened_last_is_told_by_the_order_of_claims_and_no_clock(world: World) -> None:
    world.month(MONTH)
    world.link(world.segment(), world.segment())
    query = "SELECT * FROM content_links"
    [link] = world.connection.execute(query).fetchall()
    with copied(world) as earlier:
        world.connection.execute("DELETE FROM content_links")
        ship_records(world.run)
        world.connection.execute(
            sql.SQL("INSERT INTO content_links VALUES ({})").format(
                sql.SQL(", ").join(sql.Placeholder() * len(link))
            ),
            [Jsonb(value) if isinstance(value, dict) else value for value in link],
        )
        world.connection.execute(
            "UPDATE ops.unshipped_records SET recorded_at = recorded_at - interval '1 day'"
        )
        assert ship_records(world.run).events
        done = adopt(earlier.run, apply=True)
        assert done.problems == ()
        assert earlier.connection.execute(query).fetchall() == [link]
        # Deleted once more, and known to nobody else: an adoption does not take it back.
        earlier.connection.execute("DELETE FROM content_links")
        adopt(earlier.run, apply=True)
        [[tombstones]] = earlier.connection.execute("SELECT count(*) FROM ops.erased_rows")
        assert tombstones > 0
