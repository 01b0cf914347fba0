"""What an archived month holds is a copy, too: of what of it is, or is again, in the database."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from click.testing import CliRunner

from ft_ops.archive.hold.holds import add_hold, release_hold
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.cli import commands
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import only_one
from ft_ops.restore import Decisions, RestorePlan, Subject, restore_from_archive
from ft_ops.restore.subject import Kind
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import Tier
from ft_ops.s3.objects import delete_version
from tests.archive.world import MONTH, PRICES, World
from tests.fixtures.postgres import Database
from tests.restore.test_restore import reasons, states

READABLE = "GLACIER_IR"
MISTAKE = "the family's owner wrote that it was a mistake"


@pytest.fixture
def world(database: Database, connection: Connection, bucket: Bucket) -> World:
    """Two families' content of a month that is archived, in a class that can be read at once."""
    made = World(database, connection, bucket)
    made.rules = replace(made.rules, storage_class=READABLE)
    made.people()
    made.fill()
    return made


def restore(
    world: World,
    *,
    kind: Kind = "family",
    subject: UUID | None = None,
    apply: bool = True,
    decisions: Decisions | None = None,
    tier: Tier | None = None,
) -> RestorePlan:
    with connect(world.database.url, application="tests") as live:
        found = restore_from_archive(
            world.run,
            live,
            Subject(kind, subject or world.families[0]),
            MONTH,
            tier=tier,
            prices=PRICES,
            decisions=decisions or Decisions(),
            apply=apply,
        )
    assert isinstance(found, RestorePlan)
    return found


def archived(world: World, thread: int = 0) -> list[UUID]:
    """The segments of a thread that are in the month's archived table."""
    return [
        row[0]
        for row in world.connection.execute(
            "SELECT s.id FROM archived_content_segments AS s WHERE s.thread_id = %s"
            " AND EXISTS (SELECT FROM photo_narrations AS n WHERE n.content_segment_id = s.id)"
            " ORDER BY s.sequence_number",
            (world.threads[thread],),
        )
    ]


def scratch(world: World) -> int:
    [[left]] = world.connection.execute(
        r"SELECT count(*) FROM pg_class WHERE relname ~ '^restore_\d' AND relkind = 'r'"
        " AND relnamespace = 'ops'::regnamespace"
    ).fetchall()
    return int(left)


def lose_children(world: World, segment: UUID) -> int:
    """What belongs to a segment goes, and leaves no tombstone of its own."""
    return sum(
        world.connection.execute(
            f"DELETE FROM {table} WHERE content_segment_id = %s", (segment,)
        ).rowcount
        for table in ("photo_narrations", "content_tags")
    )


def test_what_was_lost_of_a_month_that_is_frozen_and_still_here_comes_back(world: World) -> None:
    world.archive()
    whole = world.rows()
    lost = lose_children(world, archived(world)[0])
    other_family = lose_children(world, archived(world, thread=2)[0])
    damaged = world.rows()
    assert restore(world, apply=False).inserts == lost
    assert world.rows() == damaged
    assert restore(world).inserts == lost
    plan = restore(world)
    assert (plan.inserts, plan.overwrites, plan.source) == (
        0,
        0,
        f"the archive ({MONTH} generation 1)",
    )
    assert world.rows() != whole
    assert restore(world, subject=world.families[1]).inserts == other_family
    assert world.rows() == whole
    assert scratch(world) == 0


@pytest.mark.chaos
def test_what_was_erased_stays_out_until_its_deletion_is_named_a_mistake(world: World) -> None:
    world.archive()
    whole = world.rows()
    segment = archived(world)[0]
    world.connection.execute("DELETE FROM archived_content_segments WHERE id = %s", (segment,))
    plan = restore(world)
    assert plan.inserts == 0
    assert states(plan, "content_segments")["erased"] == 1
    assert {(t.kind, t.id) for t in plan.deletions} == {("segment", segment)}
    mistake = Decisions(mistakes=frozenset({segment}), reason=MISTAKE)
    # The segment with its narration, tag and link.
    assert restore(world, decisions=mistake).inserts == 4
    assert world.rows() == whole
    assert world.count("ops.erasures") == 0


@pytest.mark.chaos
def test_what_was_changed_stays_unless_asked_for_and_a_hold_keeps_it(world: World) -> None:
    world.archive()
    segment = archived(world)[0]
    changes = (
        ("archived_content_segments", "text_content", segment),
        ("threads", "title", world.threads[0]),
    )
    for table, column, key in changes:
        world.connection.execute(f"UPDATE {table} SET {column} = 'new' WHERE id = %s", (key,))
    assert restore(world).overwrites == 0
    overwrite = Decisions(overwrite_changed=True)
    hold = add_hold(
        world.connection, thread_id=world.threads[0], reason="a court asks", person="the tests"
    )
    assert restore(world, decisions=overwrite).overwrites == 0
    release_hold(world.connection, hold.id, reason="it is over", person="the tests")
    assert restore(world, decisions=overwrite).overwrites == 1
    # The archive holds no threads.
    found = [
        world.connection.execute(f"SELECT {column} FROM {table} WHERE id = %s", (key,)).fetchone()
        for table, column, key in changes
    ]
    assert found == [("once upon a time",), ("new",)]


def test_of_a_month_that_is_in_the_archive_alone_nothing_is_missing(world: World) -> None:
    """Late rows neither: they are a partition of their own, and no generation yet."""
    world.archived_and_purged()
    world.month(MONTH)
    late = world.segment(MONTH, text="late")
    world.children(late)
    plan = restore(world)
    assert set(states(plan, "content_segments")) == {"archived"}
    assert reasons(plan, "content_segments") == [f"{MONTH} is in the archive: thaw that month"]
    assert plan.inserts == 0
    assert world.count("content_segments") == 1


@pytest.mark.chaos
def test_late_rows_in_the_archives_table_let_the_older_ones_wait_for_a_thaw(world: World) -> None:
    world.archived_and_purged()
    world.month(MONTH)
    late = world.segment(MONTH, text="late")
    world.children(late)
    world.archive()
    lost = lose_children(world, late)
    plan = restore(world)
    assert plan.inserts == lost
    assert states(plan, "content_segments") == {"archived": 20, "same": 1}
    assert "it is in the archive: thaw its month" in reasons(plan, "content_segments")


def test_what_was_lost_of_a_thawed_family_comes_back_and_the_other_stays_away(
    world: World,
) -> None:
    world.archived_and_purged()
    world.thaw(family=0)
    whole = world.rows()
    lost = lose_children(world, archived(world)[0])
    assert restore(world).inserts == lost
    assert world.rows() == whole
    assert states(restore(world, subject=world.families[1]), "content_segments") == {"archived": 20}
    world.refreeze()
    assert open_thaw(world.connection, MONTH) is None


@pytest.mark.chaos
def test_a_thread_that_is_another_familys_now_takes_nothing_that_was_not(world: World) -> None:
    """An archived row bears the family that it was exported with."""
    world.archive()
    moved, stayed = archived(world)[0], archived(world, thread=1)[0]
    lose_children(world, moved)
    lost = lose_children(world, stayed)
    world.connection.execute(
        "UPDATE threads SET memory_book_id = (SELECT id FROM memory_books WHERE family_id = %s)"
        " WHERE id = %s",
        (world.families[1], world.threads[0]),
    )
    others = world.rows()
    subjects: tuple[tuple[Kind, UUID], ...] = (
        ("family", world.families[1]),
        ("thread", world.threads[0]),
    )
    for kind, subject in subjects:
        plan = restore(world, kind=kind, subject=subject)
        assert plan.inserts == 0
        assert reasons(plan, "content_tags") == [
            "its segment is another family's now than in the copy"
        ]
    assert world.rows() == others
    assert restore(world).inserts == lost


def test_what_is_in_glacier_is_named_with_its_price_and_asked_for_when_told(
    world: World,
) -> None:
    world.rules = replace(world.rules, storage_class="DEEP_ARCHIVE")
    world.archive()
    lost = lose_children(world, archived(world)[0])
    with pytest.raises(Refused, match="in Glacier and can't be read now") as refused:
        restore(world)
    assert "--ask-glacier: Bulk, less than one cent, within 48 hours" in str(refused.value)
    assert "Expedited" not in str(refused.value)
    with connect(world.database.url, application="tests") as live:
        asked = restore_from_archive(
            world.run,
            live,
            Subject("family", world.families[0]),
            MONTH,
            tier="Bulk",
            prices=PRICES,
            decisions=Decisions(),
            apply=True,
        )
    assert not isinstance(asked, RestorePlan)
    assert asked.objects == len(world.standing().parts())
    # This endpoint has answered at once.
    assert restore(world).inserts == lost


def test_what_is_in_glacier_alone_is_not_paid_for(world: World) -> None:
    world.rules = replace(world.rules, storage_class="DEEP_ARCHIVE")
    world.archived_and_purged()
    tiers: tuple[Tier | None, ...] = (None, "Bulk")
    for tier in tiers:
        with pytest.raises(Refused, match="no row of it can be missing in the database"):
            restore(world, tier=tier)


def test_an_object_that_is_gone_is_named_and_its_second_copy_is_read(
    world: World, second_bucket: Bucket
) -> None:
    world.second = second_bucket
    world.archive()
    lost = lose_children(world, archived(world)[0])
    stored = world.standing().parts()[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    alone = replace(world, second=None)
    with pytest.raises(OpsError, match=stored.key):
        restore(alone)
    assert scratch(world) == 0
    assert restore(world).inserts == lost


def test_bytes_that_are_not_the_proven_ones_are_refused_by_their_object(world: World) -> None:
    world.archive()
    damaged = lose_children(world, archived(world)[0])
    stored = world.standing().parts()[0].stored
    world.connection.execute(
        "UPDATE ops.archive SET objects = replace(objects::text, %s, %s)::jsonb",
        (stored.sha256, "A" * 43 + "="),
    )
    before = world.rows()
    with pytest.raises(OpsError, match=stored.key):
        restore(world)
    assert world.rows() == before
    assert damaged


def test_what_is_not_proven_is_no_source(world: World) -> None:
    with pytest.raises(Refused, match="nothing of it is proven: it was never archived"):
        restore(world)
    world.move()
    with pytest.raises(Refused, match="nothing of it is proven: its newest generation is archived"):
        restore(world)


@pytest.mark.chaos
def test_a_subject_whose_threads_are_gone_is_told_where_to_find_them(world: World) -> None:
    world.archive()
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[0],))
    with pytest.raises(Refused, match="bring them back from a backup first"):
        restore(world)
    plan = restore(world, kind="thread", subject=world.threads[0])
    assert plan.inserts == 0
    assert states(plan, "content_segments") == {"erased": 10}


def test_no_other_run_is_at_work_on_the_month(world: World) -> None:
    world.archive()
    with (
        connect(world.database.url, application="tests") as other,
        only_one(other, f"archive {MONTH}"),
        pytest.raises(Refused, match="another run is at work on it"),
    ):
        restore(world)


def test_what_a_killed_run_has_left_is_no_obstacle(world: World) -> None:
    world.archive()
    lost = lose_children(world, archived(world)[0])
    for number in ("00", "families", "families_part"):
        world.connection.execute(f"CREATE TABLE ops.restore_{MONTH.suffix}_gen0_{number} (a int)")
    assert restore(world).inserts == lost
    assert scratch(world) == 0


def test_the_command_compares_and_applies_only_when_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archive()
    lose_children(world, archived(world)[0])
    monkeypatch.setenv("FT_DATABASE_URL", world.database.url)
    monkeypatch.setenv("FT_ARCHIVE_BUCKET", world.bucket.name)
    monkeypatch.setenv("FT_ARCHIVE_PREFIX", "archive")
    arguments = ["restore", "--family", str(world.families[0]), "--from-archive", str(MONTH)]
    shown = CliRunner().invoke(commands, arguments)
    assert shown.exit_code == 0, shown.output
    assert "content_tags: 1 missing" in shown.output
    assert "nothing was changed: --apply --plan" in shown.output
    done = CliRunner().invoke(commands, [*arguments, "--apply"])
    assert "2 rows were inserted, 0 overwritten" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from-archive", "2017-03", "--at", "full-1"], "name one of them"),
        (["--from-archive", "2017-13"], "name a month such as 2017-03-01"),
        (["--ask-glacier", "Bulk"], "only an archived month is in Glacier"),
        (["--from-archive", "2017-03", "--ask-glacier", "fast"], "there is no tier 'fast'"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(arguments: list[str], said: str) -> None:
    subject = ["--family", "6c0d7f2a-0000-4000-8000-000000000000"]
    refused = CliRunner().invoke(commands, ["restore", *subject, *arguments])
    assert isinstance(refused.exception, OpsError)
    assert said in str(refused.exception)
