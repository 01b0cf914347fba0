"""What was erased from the database leaves its archives too, unless a hold forbids it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.copies.second import remove_ours
from ft_ops.archive.erase import superseded
from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.erase.own_tables import deletions, own_tables
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.hold.holds import add_hold
from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import Column
from ft_ops.archive.month.evolution import read_evolution
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, latest, supersede
from ft_ops.archive.month.source import scratch_source, scratch_table
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.run import Run
from ft_ops.archive.store.export import Rows, export_month
from ft_ops.pg.connect import connect
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.s3.objects import StoredObject, delete_version, versions
from tests.archive.world import MONTH, World

_VALUES: Mapping[str, LiteralString] = {
    "uuid": "md5(n::text)::uuid",
    "integer": "n",
    "boolean": "false",
    "double precision": "1",
    "jsonb": "'{}'",
    "text[]": "'{}'",
    "timestamp": "now()",
}


_SCRATCH: LiteralString = "SELECT relname FROM pg_class WHERE relname LIKE 'erasure\\_20%'"


def _erase(world: World) -> None:
    erase_month(world.run, world.ask(purpose="erasure", days=1))


def _collect(world: World) -> int:
    return sum(remove_superseded(world.run).results)


@pytest.mark.usefixtures("begins_purged")
def test_an_untouched_archive_needs_no_erasure(world: World) -> None:
    assert plan_erasures(world.connection, world.bucket) == []


@pytest.mark.usefixtures("begins_purged")
def test_an_erased_family_is_found_without_a_thaw_and_rewritten_away(world: World) -> None:
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert (plan.month, plan.segments, plan.holds) == (MONTH, 20, ())
    _erase(world)
    assert [g.state for g in generations(world.connection, MONTH)] == ["superseded", "purged"]
    assert _collect(world) == 8
    left = {v.key for v in versions(world.bucket, "") if v.key.endswith(".parquet")}
    assert left
    assert all("/gen=2/" in key for key in left)
    assert plan_erasures(world.connection, world.bucket) == []
    newest = latest(world.connection, MONTH)
    assert newest is not None
    assert newest.rows["content_segments"] == 20


def test_the_rest_of_a_rewritten_month_thaws_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the run died with everything frozen, and its scratch tables had the erased rows."""

    def die(run: Run, generation: Generation, rows: Rows) -> Generation:
        archive_content(run, generation, rows)
        monkeypatch.setattr("ft_ops.archive.proof.load.drop_scratch", lambda *_: None)
        raise KeyboardInterrupt

    world.fill()
    world.archive()
    kept = [row for row in world.rows()["content_segments"] if row[1] in world.threads[:2]]
    world.verified_backup()
    world.purge()
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    monkeypatch.setattr("ft_ops.archive.erase.erase.archive_content", die)
    with pytest.raises(KeyboardInterrupt):
        _erase(world)
    monkeypatch.undo()
    assert world.connection.execute(_SCRATCH).fetchall()
    _erase(world)
    assert world.connection.execute(_SCRATCH).fetchall() == []
    _collect(world)
    thaw = world.thaw()
    assert thaw.left_out == {}
    assert world.rows()["content_segments"] == kept


def test_an_erased_users_tags_and_narrations_on_others_content_go_too(world: World) -> None:
    segments = world.fill()
    world.children(segments[1], user=3)
    world.archived_and_purged()
    before = latest(world.connection, MONTH)
    world.connection.execute("DELETE FROM users WHERE id = %s", (world.users[3],))
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert plan.segments == 0
    _erase(world)
    after = latest(world.connection, MONTH)
    assert before is not None
    assert after is not None
    assert after.rows["content_tags"] == before.rows["content_tags"] - 1
    assert after.rows["photo_narrations"] == before.rows["photo_narrations"] - 1
    assert after.rows["content_segments"] == before.rows["content_segments"]


@pytest.mark.parametrize("held", ["month", "family"])
@pytest.mark.usefixtures("begins_purged")
def test_a_hold_forbids_the_erasure_and_is_named(world: World, held: str) -> None:
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    if held == "month":
        hold = add_hold(world.connection, month=MONTH, reason="a lawsuit")
    else:
        hold = add_hold(world.connection, family_id=world.families[1], reason="a lawsuit")
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert plan.holds == (str(hold),)


def test_no_hold_is_placed_while_what_it_would_hold_is_being_removed(
    world: World, second_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would stand, and its content would be gone. Between two buckets it counts."""
    world.second = second_bucket
    world.fill()
    world.archived_and_purged()
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    _erase(world)
    place = (
        "INSERT INTO ops.legal_holds (family_id, reason, placed_by) VALUES (%s, 'a lawsuit', 'me')"
    )
    old = generations(world.connection, MONTH)[0]
    parts = {item.stored.key for item in old.parts()}

    def removed(bucket: Bucket, *of: Any, **given: Any) -> int:
        with connect(world.database.url, application="tests") as other:
            other.execute("SET lock_timeout = '20ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(place, (world.families[1],))
        done = remove_ours(bucket, *of, **given)
        patch.undo()
        return done

    def told(second: Bucket, content: Sequence[StoredObject]) -> bool:
        if second is second_bucket:
            with connect(world.database.url, application="tests") as other:
                other.execute(place, (world.families[1],))
        return any(True for stored in content for _ in versions(second, stored.key))

    with monkeypatch.context() as patch:
        patch.setattr(superseded, "remove_ours", removed)
        monkeypatch.setattr(superseded, "_any_of", told)
        [failed] = remove_superseded(world.run).failed
    assert "a lawsuit" in failed.cause
    assert not parts & {v.key for v in versions(world.bucket, "archive/table=")}
    assert parts <= {v.key for v in versions(second_bucket, "archive/table=")}


@pytest.mark.usefixtures("begins_purged")
def test_nothing_more_goes_once_something_has_come_into_a_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What that is the archives are not searched for yet."""
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    _erase(world)
    [[empty]] = world.connection.execute(
        "INSERT INTO threads (memory_book_id, started_by) SELECT memory_book_id, started_by"
        " FROM threads WHERE id = %s RETURNING id",
        (world.threads[0],),
    ).fetchall()
    placed = add_hold(world.connection, thread_id=empty, reason="a lawsuit")
    parts = {item.stored.key for item in generations(world.connection, MONTH)[0].parts()}

    def removed(*of: Any, before_each: Callable[[], None], **given: Any) -> int:
        seen: list[int] = []

        def each() -> None:
            if seen:
                with connect(world.database.url, application="tests") as other:
                    other.execute("SELECT ops.search_again(%s)", (placed.id,))
            seen.append(1)
            before_each()

        return remove_ours(*of, before_each=each, **given)

    monkeypatch.setattr(superseded, "remove_ours", removed)
    [failed] = remove_superseded(world.run).failed
    assert "something has come into it" in failed.cause
    assert len(parts - {v.key for v in versions(world.bucket, "archive/table=")}) == 1


@pytest.mark.usefixtures("begins_archived")
def test_a_superseded_generation_goes_only_when_a_frozen_one_replaces_it(world: World) -> None:
    generation = world.standing()
    supersede(world.connection, generation, "changed", "test")
    assert _collect(world) == 0
    world.freeze()
    assert _collect(world) == 8


@pytest.mark.usefixtures("begins_archived")
def test_nobody_guesses_what_replaces_a_generation_and_what_is_not_ours_stays(world: World) -> None:
    """Earlier versions did not record it; and somebody may have written under our key."""
    superseded = world.standing()
    supersede(world.connection, superseded, "changed", "test")
    world.freeze()
    key = superseded.objects[0].stored.key
    put_above = world.bucket.client.put_object(Bucket=world.bucket.name, Key=key, Body=b"foreign")
    recorded = "UPDATE ops.archive SET replaced_by = %s WHERE generation = 1"
    world.connection.execute(recorded, (None,))
    [failed] = remove_superseded(world.run).failed
    assert "does not say which generation replaces it" in failed.cause
    assert len(list(versions(world.bucket, key))) == 2
    world.connection.execute(recorded, (2,))
    [failed] = remove_superseded(world.run).failed
    assert put_above["VersionId"] in failed.cause
    assert [v.version_id for v in versions(world.bucket, key)] == [put_above["VersionId"]]
    # It is no secret any more what stays, and the rest is gone at once when that is.
    delete_version(world.bucket, key, put_above["VersionId"])
    assert _collect(world) > 0
    assert generations(world.connection, MONTH)[0].objects == ()


def _erase_a_family_after_the_export(world: World) -> None:
    world.move()
    export_month(world.run, world.standing())
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    world.freeze()


def _erase_a_family_in_the_grace(world: World) -> None:
    world.archive()
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    supersede(world.connection, world.standing(), "exported again", "test")
    world.freeze()


@pytest.mark.parametrize(
    "erase",
    [_erase_a_family_after_the_export, _erase_a_family_in_the_grace],
    ids=lambda erase: erase.__name__[1:],
)
def test_what_was_erased_in_between_is_listed_and_goes_with_the_replaced_generation(
    world: World, erase: Callable[[World], None]
) -> None:
    world.fill()
    erase(world)
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert [g.number for g in plan.collected] == [1]
    assert (plan.generations, plan.renewed) == ((), ())
    assert _collect(world) == len(plan.collected[0].objects)
    assert plan_erasures(world.connection, world.bucket) == []
    assert not any("/gen=1/part-" in v.key for v in versions(world.bucket, "archive/table=content"))


@pytest.mark.usefixtures("begins_archived")
def test_a_tombstone_of_an_id_that_is_in_use_again_is_about_what_was_archived_before(
    world: World,
) -> None:
    """The thread that bears the id now, and what it has in archives, is nobody's erasure."""
    rows = world.rows()
    world.connection.execute(
        "INSERT INTO ops.erasures (kind, id, erased_at, used_again) VALUES"
        " ('thread', %s, '2016-01-01', true), ('user', %s, '2016-01-01', true)",
        (world.threads[0], world.users[0]),
    )
    world.verified_backup()
    world.purge()
    assert plan_erasures(world.connection, world.bucket) == []
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    _erase(world)
    world.thaw()
    kept = [row for row in rows["content_segments"] if row[1] != world.threads[3]]
    assert world.rows()["content_segments"] == kept


def test_what_an_erasure_costs_grows_with_the_rows_and_no_faster(world: World) -> None:
    """Every deletion probes an index or joins by a hash; none looks at all rows for each row."""
    content = read_content(world.connection)
    source = scratch_source(content, "erasure", MONTH, 0)
    for number, table in enumerate(content):
        name = sql.Identifier("ops", scratch_table("erasure", MONTH, 0, number))
        world.connection.execute(
            sql.SQL("CREATE UNLOGGED TABLE {} (LIKE {})").format(name, table.identifier)
        )
        world.connection.execute(
            sql.SQL("INSERT INTO {} SELECT {} FROM generate_series(1, 30000) AS n").format(
                name, sql.SQL(", ").join(_some(column) for column in table.stored)
            )
        )
        world.connection.execute(sql.SQL("ANALYZE {}").format(name))
    for own in own_tables(content, content, read_evolution(world.connection)):
        for query in deletions(own, source):
            plan = world.connection.execute(sql.SQL("EXPLAIN ") + query).fetchall()
            words = "\n".join(line for (line,) in plan)
            assert "Nested Loop" not in words or "Materialize" not in words, words
            assert "SubPlan" not in words or "hashed" in words or "Index" in words, words


def _some(column: Column) -> sql.SQL:
    """A value for a column, another one in each row where it is an id."""
    kind = "timestamp" if column.type.startswith("timestamp") else column.type
    return sql.SQL(_VALUES.get(kind, "'x'"))


def test_a_tombstone_of_a_transaction_that_began_before_the_export_is_found(world: World) -> None:
    """It bears the moment of its transaction's begin, which the export did not see the end of."""
    made = world.fill(segments=8)
    world.move()
    with connect(world.database.url, application="a long one") as long, long.transaction():
        # The last one of its kind: no link of its own tells of it.
        long.execute("DELETE FROM archived_content_segments WHERE id = %s", (made[3],))
        world.freeze()
    world.verified_backup()
    world.purge()
    [plan] = plan_erasures(world.connection, world.bucket)
    assert plan.segments == 1
    _erase(world)
    assert plan_erasures(world.connection, world.bucket)[0].generations == ()


@pytest.mark.parametrize("what", ["an object of the next is gone", "another bucket"])
@pytest.mark.usefixtures("begins_archived")
def test_what_may_be_the_only_copy_stays(world: World, what: str) -> None:
    world.connection.execute("UPDATE archived_content_segments SET view_count = view_count + 1")
    world.verified_backup()
    world.purge()
    following = world.freeze()
    old = generations(world.connection, MONTH)[0]
    assert old.state == "superseded"
    here = world.bucket
    if what == "another bucket":
        name = f"another-{uuid4().hex[:12]}"
        here.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        world.bucket = open_bucket(name)
    else:
        lost = following.objects[0].stored
        delete_version(here, lost.key, lost.version_id)
    [failed] = remove_superseded(world.run).failed
    assert "which replaces it, is not whole" in failed.cause
    assert generations(world.connection, MONTH)[0].objects == old.objects
    for item in old.objects:
        assert [v.version_id for v in versions(here, item.stored.key)] == [item.stored.version_id]
