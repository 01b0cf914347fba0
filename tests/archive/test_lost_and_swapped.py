"""What is gone, swapped or in the way is found before anything goes, and never passed over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.keep.keys import LoneKeys, lone_keys
from ft_ops.archive.month.ledger import generations, supersede
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.proof.proof import prove_month
from ft_ops.archive.store.export import export_month
from ft_ops.archive.thaw.thaw import load
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import connect
from ft_ops.s3.bucket import Bucket, Damaged, Missing, open_bucket
from ft_ops.s3.objects import delete_version, versions
from tests.archive.test_identity import dying
from tests.archive.world import MONTH, World
from tests.matrix.world import objects_damaged, objects_missing

NEXT = MONTH.plus(1)

_ATTACH = (
    "CREATE TABLE archived_content_segments_2017_03 PARTITION OF archived_content_segments"
    " FOR VALUES FROM ('2017-03-01 00:00+00') TO ('2017-04-01 00:00+00')"
)


def _states(world: World) -> list[tuple[int, str]]:
    return [(g.number, g.state) for g in generations(world.connection, MONTH)]


def _swap(world: World) -> None:
    """Somebody puts an empty table in the place of the month's, under the same name."""
    for statement in (
        "ALTER TABLE archived_content_segments DETACH PARTITION archived_content_segments_2017_03",
        "ALTER TABLE archived_content_segments_2017_03 RENAME TO set_aside",
        _ATTACH,
    ):
        world.connection.execute(statement)


@pytest.mark.parametrize("month", ["frozen", "thawed"])
def test_a_table_in_anothers_place_is_named_and_stands_for_nothing(
    world: World, month: str
) -> None:
    world.fill()
    if month == "frozen":
        world.archive()
        world.verified_backup()
    else:
        world.archived_and_purged()
        world.thaw()
    _swap(world)
    for _ in range(2):
        with pytest.raises(Refused, match=r"is called set_aside and stands alone"):
            world.purge() if month == "frozen" else world.refreeze()
    assert world.count("set_aside") == world.count("content_segment_keys") == 40
    world.connection.execute("DROP TABLE archived_content_segments_2017_03")
    world.connection.execute(
        "ALTER TABLE archived_content_segments ATTACH PARTITION set_aside"
        " FOR VALUES FROM ('2017-03-01 00:00+00') TO ('2017-04-01 00:00+00')"
    )
    if month == "frozen":
        assert world.purge().segments == 40
    else:
        assert world.refreeze().segments == 40
    assert world.thaw().left_out == {}


@pytest.mark.usefixtures("begins_archived")
def test_proven_segments_that_are_absent_are_a_finding_and_nothing_is_removed(
    world: World,
) -> None:
    """A row that was deleted past the triggers has its key, and is in no table."""
    made = world.filled
    world.verified_backup()
    month = "archived_content_segments_2017_03"
    with psycopg.connect(world.database.admin_url, autocommit=True) as admin:
        admin.execute(f"ALTER TABLE {month} DISABLE TRIGGER USER")
        admin.execute("DELETE FROM archived_content_segments WHERE id = %s", (made[0],))
        admin.execute(f"ALTER TABLE {month} ENABLE TRIGGER USER")
    with pytest.raises(Refused, match=f"1 segments, {made[0]} among them, have keys"):
        world.purge()
    assert _states(world) == [(1, "frozen")]
    assert world.count("archived_content_segments") == 39
    world.connection.execute("DELETE FROM content_segment_keys WHERE id = %s", (made[0],))
    assert world.purge().segments == 39


def _delete_silently(world: World, table: str, segment: UUID) -> None:
    """As a bulk load does whose triggers are silenced: the key stays, and what belongs to it."""
    with psycopg.connect(world.database.admin_url, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(
            sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(table)), (segment,)
        )


@pytest.mark.parametrize(
    "before", ["the archive", pytest.param("the purge", marks=pytest.mark.chaos), "the refreeze"]
)
def test_a_key_whose_segment_was_deleted_silently_is_named_and_removes_nothing(
    world: World, before: str
) -> None:
    """After the purge, too: nobody could tell otherwise whose those narrations and tags are."""
    made = world.fill(segments=8)
    assert lone_keys(world.connection).found == {}
    if before == "the archive":
        _delete_silently(world, "content_segments", made[0])
    world.archive()
    world.verified_backup()
    if before == "the purge":
        _delete_silently(world, "archived_content_segments", made[0])
    world.purge()
    if before == "the refreeze":
        world.thaw()
        assert lone_keys(world.connection).found == {}
        _delete_silently(world, "archived_content_segments", made[0])
        world.refreeze()
    assert lone_keys(world.connection) == LoneKeys({MONTH: (made[0],)}, ())
    belongings = ("content_tags", "photo_narrations")
    assert all(made[0] in _segments(world, table) for table in belongings)
    world.connection.execute("DELETE FROM content_segment_keys WHERE id = %s", (made[0],))
    assert lone_keys(world.connection) == LoneKeys({}, ())
    assert not any(made[0] in _segments(world, table) for table in belongings)


def _segments(world: World, table: str) -> set[UUID]:
    query = sql.SQL("SELECT content_segment_id FROM {}").format(sql.Identifier(table))
    return {segment for (segment,) in world.connection.execute(query).fetchall()}


def test_a_month_whose_table_stands_alone_is_passed_over_by_the_look_at_keys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(segments=4)
    with dying(monkeypatch, "move.move._attach"):
        world.move()
    assert lone_keys(world.connection) == LoneKeys({}, (MONTH,))
    world.move()
    assert lone_keys(world.connection) == LoneKeys({}, ())


def test_of_a_month_that_is_locked_the_look_at_keys_says_that_it_does_not_know(
    world: World,
) -> None:
    made = world.fill(segments=4)
    world.fill(NEXT, segments=4)
    _delete_silently(world, "content_segments", made[0])
    for month in (MONTH, NEXT):
        world.archive(month)
    locked = sql.Identifier(f"archived_content_segments_{NEXT.suffix}")
    with connect(world.database.url, application="other") as other, other.transaction():
        other.execute(sql.SQL("LOCK {} IN ACCESS EXCLUSIVE MODE").format(locked))
        looked = lone_keys(world.connection)
    assert looked.found == {MONTH: (made[0],)}
    assert [failed.name for failed in looked.failed] == [f"keys of {NEXT}"]


def _export_and_prove(world: World) -> None:
    world.move()
    prove_month(world.run, export_month(world.run, world.standing()))


def _lose_a_part(world: World) -> None:
    stored = world.standing().parts()[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)


def test_an_object_that_is_gone_before_the_freeze_is_exported_again(world: World) -> None:
    world.fill()
    _export_and_prove(world)
    _lose_a_part(world)
    with pytest.raises(OpsError, match="part-00000") as caught:
        world.freeze()
    assert isinstance(caught.value.__cause__, Missing)
    assert _states(world) == [(1, "superseded"), (2, "archived")]
    assert world.freeze().state == "frozen"
    assert world.count("archived_content_segments") == 40


@pytest.mark.usefixtures("begins_archived")
def test_a_frozen_generation_that_is_not_whole_is_exported_again_while_its_rows_are_there(
    world: World,
) -> None:
    world.verified_backup()
    _lose_a_part(world)
    assert world.plan().decision == "refuse"
    assert world.freeze().state == "frozen"
    assert _states(world) == [(1, "superseded"), (2, "frozen")]
    world.verified_backup()
    assert world.purge().segments == 40
    assert world.thaw().left_out == {}


def _retain(bucket: Bucket, key: str, version_id: str, until: Any) -> None:
    client: Any = bucket.client
    client.put_object_retention(
        Bucket=bucket.name,
        Key=key,
        VersionId=version_id,
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until} if until else {},
        BypassGovernanceRetention=until is None,
    )


@pytest.mark.parametrize("died_in", ["export", "proof"])
def test_what_a_dead_run_wrote_under_a_retention_keeps_no_month_from_the_archive(
    world: World, died_in: str
) -> None:
    world.fill()
    world.move()
    generation = export_month(world.run, world.standing())
    if died_in == "export":
        world.connection.execute(
            "UPDATE ops.archive SET state = 'exporting', objects = '[]', content = NULL"
        )
    else:
        prove_month(world.run, generation)
        _forget_the_proof(world, len(generation.objects))
    written = list(versions(world.bucket, "archive/"))
    for version in written:
        _retain(world.bucket, version.key, version.version_id, utc_now() + timedelta(days=1))
    frozen = world.freeze()
    assert _states(world) == [(1, "superseded"), (2, "frozen")]
    assert frozen.rows["content_segments"] == 40
    held = remove_superseded(world.run)
    assert {failed.name for failed in held.failed} >= {f"replaced versions of {MONTH} generation 1"}
    for version in written:
        _retain(world.bucket, version.key, version.version_id, None)
    assert remove_superseded(world.run).failed == ()
    left = {v.key for v in versions(world.bucket, "") if "/gen=1/" in v.key}
    assert left <= {v.key for v in written if "table=manifest" in v.key}


def _forget_the_proof(world: World, exported: int) -> None:
    """As after a run that died when it had written lists and manifest."""
    world.connection.execute(
        "UPDATE ops.archive SET state = 'proving', proven_at = NULL, manifest = NULL,"
        " certificate = NULL, digests = NULL, objects = (SELECT jsonb_agg(o ORDER BY n) FROM"
        " jsonb_array_elements(objects) WITH ORDINALITY AS e (o, n) WHERE n <= %s)",
        (exported,),
    )


def test_what_another_bucket_holds_is_not_taken_for_removed(
    world: World, second_bucket: Bucket
) -> None:
    """FT_ARCHIVE_BUCKET was changed: the replaced generation lies in the one before."""
    world.fill()
    first = world.bucket
    supersede(world.connection, world.archive(), "changed", "test")
    world.bucket = second_bucket
    world.freeze()
    (failed,) = remove_superseded(world.run).failed
    assert "nothing of it lies in" in failed.cause
    assert world.standing().number == 2
    assert generations(world.connection, MONTH)[0].objects
    assert list(versions(first, "archive/table=content_segments/"))


@pytest.mark.parametrize("is_damaged", [True, False])
@pytest.mark.usefixtures("begins_purged")
def test_a_thaw_names_the_object_that_cannot_be_had_and_where_else_it_may_be(
    world: World, is_damaged: bool
) -> None:
    asked = world.ask(MONTH)
    with objects_damaged() if is_damaged else objects_missing():
        through = replace(world, bucket=open_bucket(world.bucket.name))
        with pytest.raises(Damaged if is_damaged else Missing) as error:
            load(through.run, asked)
    assert "/year=2017/month=03/" in error.value.what
    assert "ft-ops archive mend --month 2017-03" in error.value.next_step
    assert "network" not in str(error.value)
    assert load(world.run, open_thaw(world.connection, MONTH) or asked).state == "thawed"
