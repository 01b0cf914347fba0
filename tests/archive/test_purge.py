"""A purge removes what is proven, and refuses everything else by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from ft_ops.archive.hold.holds import active_holds, add_hold, release_hold
from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.ledger import generations, latest
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.run import ArchiveRules
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import connect
from ft_ops.s3.objects import delete_version, put_once, read_object
from tests.archive.world import MONTH, RULES, World


def _purgeable(world: World) -> None:
    world.fill()
    world.archive()
    world.verified_backup()


def test_a_purge_removes_the_month_and_all_that_belongs_to_it(world: World) -> None:
    _purgeable(world)
    purge = world.purge()
    assert (purge.generation.state, purge.segments, purge.kept) == ("purged", 40, 0)
    for table in ("archived_content_segments", "content_segment_keys", *TABLES):
        assert world.count(table) == 0, table
    audited = world.connection.execute(
        "SELECT action FROM audit_log WHERE action LIKE 'archive.%' ORDER BY created_at"
    ).fetchall()
    assert [action for (action,) in audited] == [
        "archive.detach",
        "archive.attach",
        "archive.purge.begin",
        "archive.purge",
    ]
    erasures = world.connection.execute("SELECT count(*) FROM ops.erasures").fetchone()
    assert erasures == (0,)


def _disabled(world: World) -> ArchiveRules:
    return replace(RULES, purge_enabled=False)


def _in_grace(world: World) -> ArchiveRules:
    return replace(RULES, grace=timedelta(days=30))


def _retained_for_longer(world: World) -> ArchiveRules:
    return replace(RULES, retention_years=30)


def _no_backup(world: World) -> ArchiveRules:
    world.connection.execute("DELETE FROM ops.restore_drills")
    return RULES


def _old_backup(world: World) -> ArchiveRules:
    world.connection.execute(
        "UPDATE ops.restore_drills SET restored_to = restored_to - interval '1 day'"
    )
    return RULES


def _month_held(world: World) -> ArchiveRules:
    add_hold(world.connection, month=MONTH, reason="a lawsuit")
    return RULES


def _family_held(world: World) -> ArchiveRules:
    add_hold(world.connection, family_id=world.families[1], reason="a lawsuit")
    return RULES


def _author_held(world: World) -> ArchiveRules:
    add_hold(world.connection, user_id=world.users[0], reason="a lawsuit")
    return RULES


def _object_gone(world: World) -> ArchiveRules:
    generation = latest(world.connection, MONTH)
    assert generation is not None
    stored = generation.objects[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    return RULES


def _list_gone(world: World) -> ArchiveRules:
    (stored,) = [o.stored for o in world.standing().objects if o.table == "proven_segments"]
    delete_version(world.bucket, stored.key, stored.version_id)
    return RULES


def _object_replaced(world: World) -> ArchiveRules:
    generation = latest(world.connection, MONTH)
    assert generation is not None
    stored = generation.objects[2].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    other = put_once(world.bucket, stored.key, b"something else")
    world.connection.execute(
        "UPDATE ops.archive SET objects = jsonb_set(objects, '{2,stored,version_id}',"
        " to_jsonb(%s::text))",
        (other.version_id,),
    )
    return RULES


def _manifest_gone(world: World) -> ArchiveRules:
    generation = latest(world.connection, MONTH)
    assert generation is not None
    stored = generation.require_manifest()
    delete_version(world.bucket, stored.key, stored.version_id)
    return RULES


def _manifest_wrong(world: World) -> ArchiveRules:
    generation = latest(world.connection, MONTH)
    assert generation is not None
    manifest = generation.require_manifest()
    document = json.loads(read_object(world.bucket, manifest))
    document["objects"][0]["rows"] += 1
    delete_version(world.bucket, manifest.key, manifest.version_id)
    stored = put_once(world.bucket, manifest.key, json.dumps(document).encode())
    world.connection.execute(
        "UPDATE ops.archive SET manifest = manifest || jsonb_build_object('version_id', %s::text,"
        " 'sha256', %s::text, 'bytes', %s::bigint)",
        (stored.version_id, stored.sha256, stored.bytes),
    )
    return RULES


def _release(world: World) -> None:
    (hold,) = active_holds(world.connection)
    release_hold(world.connection, hold.id, "settled")


def _nothing(world: World) -> None:
    """Other rules closed the gate, and are gone."""


def test_a_gate_that_is_closed_is_named_and_nothing_is_removed_until_it_is_open_again(
    world: World,
) -> None:
    _purgeable(world)
    before = world.rows()
    for close, message, open_again in (
        (_disabled, "FT_PURGE_ENABLED", _nothing),
        (_in_grace, "grace", _nothing),
        (_retained_for_longer, "still due: not before 2047-04-01", _nothing),
        (_month_held, "month 2017-03", _release),
        (_family_held, "family", _release),
        (_author_held, "user", _release),
        (_old_backup, "verified backup", World.verified_backup),
        (_no_backup, "verified backup", World.verified_backup),
    ):
        _refused(world, close(world), message)
        open_again(world)
        plan = world.plan()
        assert plan.decision == "purge", close.__name__
        assert all(gate.passed for gate in plan.gates), close.__name__
        assert world.rows() == before


@pytest.mark.parametrize(
    ("close", "message"),
    [
        (_object_gone, "table=content_segments"),
        (_object_replaced, "table=photo_narrations"),
        (_list_gone, "table=proven_segments"),
        (_manifest_gone, "manifest"),
        (_manifest_wrong, "disagree about the objects"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_an_archive_that_is_not_whole_is_named_and_nothing_is_removed(
    world: World, close: Callable[[World], ArchiveRules], message: str
) -> None:
    _purgeable(world)
    before = world.rows()
    _refused(world, close(world), message)
    assert world.rows() == before


def _refused(world: World, rules: ArchiveRules, message: str) -> None:
    plan = world.plan(rules=rules)
    assert plan.decision == "refuse", message
    with pytest.raises(Refused, match=message):
        purge_month(world.run, plan, world.throttle())


def test_purge_refuses_without_a_proof(world: World) -> None:
    world.fill()
    generation = world.move().generation
    world.verified_backup()
    plan = plan_purge(world.run, generation)
    assert plan.decision == "refuse"
    assert any("proven" in refusal for refusal in plan.refusals)


def _edit(world: World, segment: UUID) -> None:
    world.connection.execute(
        "UPDATE archived_content_segments SET view_count = view_count + 1 WHERE id = %s",
        (segment,),
    )


def _narrate(world: World, segment: UUID) -> None:
    world.connection.execute(
        "UPDATE photo_narrations SET narration_text = 'a sea' WHERE content_segment_id = %s",
        (segment,),
    )


def _untag(world: World, segment: UUID) -> None:
    world.connection.execute("DELETE FROM content_tags WHERE content_segment_id = %s", (segment,))


def _tag(world: World, segment: UUID) -> None:
    world.connection.execute(
        "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
        " VALUES (%s, 'late', %s)",
        (segment, world.users[0]),
    )


def _link(world: World, segment: UUID) -> None:
    world.month(MONTH.plus(1))
    world.link(world.segment(MONTH.plus(1)), segment)


@pytest.mark.parametrize(
    "change",
    [
        _edit,
        pytest.param(_narrate, marks=pytest.mark.chaos),
        _untag,
        pytest.param(_tag, marks=pytest.mark.chaos),
        _link,
    ],
    ids=lambda change: change.__name__,
)
@pytest.mark.usefixtures("begins_archived")
def test_of_a_month_changed_since_its_proof_only_what_changed_stays(
    world: World, change: Callable[[World, UUID], None]
) -> None:
    made = world.filled
    world.verified_backup()
    change(world, made[12])
    now = world.rows()
    assert world.plan().decision == "purge"
    assert world.plan().edited
    world.connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ft_readonly")
    purge = world.purge()
    assert world.granted_to_others() == []
    assert (purge.segments, purge.kept) == (39, 1)
    assert purge.next is not None
    assert (purge.next.number, purge.next.state) == (2, "archived")
    assert [row[0] for row in world.rows()["content_segments"]] == [made[12]]
    assert world.freeze().rows["content_segments"] == 1
    world.verified_backup()
    assert world.purge().generation.state == "purged"
    assert world.thaw().left_out == {}
    assert world.rows() == now


@pytest.mark.parametrize("looked_at", [40, 0], ids=["by a list", "without lists"])
def test_a_month_of_which_everything_changed_is_exported_again(
    world: World, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    _purgeable(world)
    world.connection.execute("UPDATE archived_content_segments SET view_count = 1")
    if not looked_at:
        monkeypatch.setattr("ft_ops.archive.purge.proven.has_unit_lists", lambda generation: False)
    purge = world.purge()
    assert (purge.segments, purge.kept) == (0, looked_at)
    states = [(g.state, g.replaced_by) for g in generations(world.connection, MONTH)]
    assert states == [("superseded", 2), ("archived", None)]
    assert world.count("archived_content_segments") == 40


def test_a_thread_deleted_since_the_proof_goes_with_the_purge(world: World) -> None:
    _purgeable(world)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    purge = world.purge()
    assert (purge.generation.state, purge.next) == ("purged", None)
    assert world.count("content_segment_keys") == 0
    assert world.thaw().left_out == {"segments: thread erased": 10}


def test_what_changes_during_the_purge_stays_as_the_next_generation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _purgeable(world)
    segments = [row[0] for row in world.rows()["content_segments"]]
    late = max(segments)  # type: ignore[type-var]
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    plan = world.plan()
    throttle = world.throttle()
    calls = 0
    wait = throttle.wait

    def tag_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            world.connection.execute(
                "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
                " VALUES (%s, 'late', %s)",
                (late, world.users[0]),
            )
        wait()

    monkeypatch.setattr(type(throttle), "wait", lambda self: tag_once())
    purge = purge_month(world.run, plan, throttle)
    assert purge.kept >= 1
    assert purge.next is not None
    assert (purge.next.number, purge.next.state) == (2, "archived")
    left = world.rows()
    assert late in [row[0] for row in left["content_segments"]]
    assert "late" in [row[2] for row in left["content_tags"]]
    assert len(left["content_segments"]) + purge.segments == 40
    assert world.count("content_segment_keys") == len(left["content_segments"])


def test_a_child_committed_between_digest_and_delete_is_not_swept_along(world: World) -> None:
    """The delete fails to serialize, and is not carried out on what nobody has digested."""
    _purgeable(world)
    row = world.connection.execute("SELECT id FROM archived_content_segments LIMIT 1").fetchone()
    assert row is not None
    with connect(world.database.url, application="writer") as writer:

        def delete_with_a_tag_in_between() -> None:
            with world.connection.transaction():
                world.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                world.connection.execute("SELECT count(*) FROM content_tags").fetchone()
                writer.execute(
                    "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
                    " VALUES (%s, 'late', %s)",
                    (row[0], world.users[0]),
                )
                world.connection.execute("DELETE FROM content_segment_keys WHERE id = %s", row)

        with pytest.raises(psycopg.errors.SerializationFailure):
            delete_with_a_tag_in_between()
        kept = writer.execute("SELECT count(*) FROM content_tags WHERE tag_name = 'late'")
        assert kept.fetchone() == (1,)


def test_a_purge_that_died_between_batches_is_ended_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _purgeable(world)
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    throttle = world.throttle()
    calls = 0

    def die() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(throttle), "wait", lambda self: die())
    with pytest.raises(KeyboardInterrupt):
        purge_month(world.run, world.plan(), throttle)
    assert world.count("content_segment_keys") < 40
    calls = 100
    purge = purge_month(world.run, world.plan(), throttle)
    assert purge.generation.state == "purged"
    assert world.count("content_segment_keys") == 0
    assert [g.state for g in generations(world.connection, MONTH)] == ["purged"]


@pytest.mark.usefixtures("begins_archived")
def test_what_an_earlier_version_has_removed_of_a_month_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions took a month by buckets, the last byte of the ids, and recorded these."""
    made = world.filled
    world.verified_backup()
    throttle = world.throttle()

    def die(self: Throttle) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Throttle, "wait", die)
        with pytest.raises(KeyboardInterrupt):
            purge_month(world.run, world.plan(), throttle)
    bucket = made[36].bytes[15]  # it has a narration, a tag and a link
    gone = [segment for segment in made if segment.bytes[15] == bucket]
    with world.connection.transaction():
        world.connection.execute("SET LOCAL ft_ops.removes = 'on'")
        world.connection.execute(
            "WITH gone AS (DELETE FROM content_segment_keys WHERE id = ANY (%s)"
            " RETURNING id, thread_id, sequence_number)"
            " INSERT INTO ops.purged_segments SELECT * FROM gone",
            (gone,),
        )
        world.connection.execute("UPDATE ops.archive SET purged_buckets = %s", ([bucket],))
    purge = world.purge()
    assert (purge.segments, purge.kept, purge.next) == (40 - len(gone), 0, None)
    assert world.count("archived_content_segments") == 0 == world.count("content_segment_keys")
    assert world.thaw().left_out == {}


def die_behind(monkeypatch: pytest.MonkeyPatch, world: World, batches: int) -> None:
    """A purge that dies when it has removed that many batches of 13 segments."""
    throttle = world.throttle()
    waits = iter(range(batches))

    def die(self: Throttle) -> None:
        if next(waits, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 13)
        patch.setattr("ft_ops.archive.move.portion.AIM_SECONDS", 60)
        patch.setattr("ft_ops.archive.move.portion.LIMIT_MS", 60_000)
        patch.setattr(Throttle, "wait", die)
        with pytest.raises(KeyboardInterrupt):
            purge_month(world.run, world.plan(), throttle)


def test_what_a_removal_without_lists_has_passed_over_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket was not what is proven when the removal came by, and is again in the next run."""
    first = min(world.fill())
    world.archive()
    world.verified_backup()
    monkeypatch.setattr("ft_ops.archive.purge.proven.has_unit_lists", lambda generation: False)
    _tag(world, first)
    die_behind(monkeypatch, world, 1)
    world.connection.execute("DELETE FROM content_tags WHERE tag_name = 'late'")
    purge = world.purge()
    assert purge.next is not None
    left = [row[0] for row in world.rows()["content_segments"]]
    assert first in left
    assert world.count("content_segment_keys") == len(left)


@pytest.mark.usefixtures("begins_archived")
def test_an_earlier_version_does_not_go_on_with_what_it_can_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take what is removed for changed, and keep it without what belonged to it."""
    world.verified_backup()
    die_behind(monkeypatch, world, 1)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="earlier version"):
        world.connection.execute(
            "UPDATE ops.archive SET purged_buckets = purged_buckets || '{7}'::smallint[]"
        )
    # Nor does it put back, or end, what it takes for untouched or for begun by buckets.
    for state in ("frozen", "purged"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="can not end"):
            world.connection.execute(
                "UPDATE ops.archive SET state = %s, purged_buckets = '{}'", (state,)
            )
    assert world.purge().segments == 27
    world.thaw()
    with pytest.raises(psycopg.errors.CheckViolation):
        world.connection.execute("UPDATE ops.thaws SET purged_through = gen_random_uuid()")
    world.connection.execute(
        "UPDATE ops.thaws SET state = 'refreezing', purged_through = gen_random_uuid()"
    )
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="earlier version"):
        world.connection.execute("UPDATE ops.thaws SET purged_buckets = '{7}'")
    for state in ("thawed", "done"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="can not end"):
            world.connection.execute(
                "UPDATE ops.thaws SET state = %s, purged_buckets = '{}'", (state,)
            )


@pytest.mark.usefixtures("begins_archived")
def test_a_batch_is_as_many_segments_in_the_order_of_their_ids(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.filled
    world.verified_backup()
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 13)
    # However slow this machine is at the moment.
    monkeypatch.setattr("ft_ops.archive.move.portion.AIM_SECONDS", 60)
    monkeypatch.setattr("ft_ops.archive.move.portion.LIMIT_MS", 60_000)
    ends: list[UUID | None] = []
    wait = Throttle.wait

    def look(self: Throttle) -> None:
        ends.append(world.standing().purged.through)
        wait(self)

    monkeypatch.setattr(Throttle, "wait", look)
    assert world.purge().segments == 40
    ids = sorted(made)
    assert ends == [None, ids[12], ids[25], ids[38]]


def test_a_suffering_application_stops_the_purge_between_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _purgeable(world)
    throttle = world.throttle()
    monkeypatch.setattr(type(throttle), "_problem", lambda self: "a replica lags 99 s behind")
    with pytest.raises(OpsError, match="a replica lags"):
        purge_month(world.run, world.plan(), throttle)
    assert world.count("content_segment_keys") == 40
    monkeypatch.undo()
    assert world.purge().generation.state == "purged"


def test_a_held_family_cannot_be_deleted(world: World) -> None:
    add_hold(world.connection, family_id=world.families[0], reason="a lawsuit")
    with pytest.raises(psycopg.errors.RestrictViolation, match="under legal hold"):
        world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[0],))
    with pytest.raises(psycopg.errors.RestrictViolation, match="under legal hold"):
        world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[2],))
