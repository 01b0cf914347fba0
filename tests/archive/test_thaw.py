"""A purged month comes back as it was, less what was erased, and leaves again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import pytest
from psycopg import sql

from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.ledger import generations, latest
from ft_ops.archive.month.thaws import units_of
from ft_ops.archive.thaw.refreeze import refreeze
from ft_ops.archive.thaw.thaw import ThawRequest, plan_thaw
from ft_ops.errors import Refused
from ft_ops.pg.connect import connect
from ft_ops.s3.objects import delete_version
from tests.archive.world import MONTH, PRICES, World


@pytest.mark.usefixtures("begins_archived")
def test_a_thawed_month_is_the_month_that_was_purged(world: World) -> None:
    before = world.rows()
    world.verified_backup()
    world.purge()
    thaw = world.thaw()
    assert (thaw.state, thaw.left_out) == ("thawed", {})
    assert world.rows() == before
    assert world.count("content_segment_keys") == 40
    assert world.count("archived_content_segments") == 40
    assert thaw.expires_at is not None
    assert thaw.expires_at - datetime.now(UTC) > timedelta(days=13)


@pytest.mark.usefixtures("begins_purged")
def test_a_thawed_month_has_the_foreign_keys_and_triggers_of_the_others(world: World) -> None:
    world.connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ft_readonly")
    world.thaw()
    # Nor anything that they have not: whoever reads the table itself sees every family.
    assert world.granted_to_others() == []
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    assert world.count("archived_content_segments") == 30
    assert world.count("content_segment_keys") == 30


@pytest.mark.usefixtures("begins_purged")
def test_one_family_of_a_month_comes_back_alone(world: World) -> None:
    thaw = world.thaw(family=1)
    assert thaw.left_out == {"segments: of other families": 20}
    threads = world.connection.execute(
        "SELECT DISTINCT thread_id FROM archived_content_segments"
    ).fetchall()
    assert {thread for (thread,) in threads} == set(world.threads[2:])


def test_what_was_erased_stays_erased_and_is_counted(world: World) -> None:
    segments = world.fill()
    author = world.segment(user=1)
    world.children(segments[1], user=1)
    world.archived_and_purged()
    world.connection.execute("DELETE FROM users WHERE id = %s", (world.users[1],))
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    thaw = world.thaw()
    assert thaw.left_out == {
        "segments: author erased": 1,
        "segments: thread erased": 10,
        "narrations: whoever made them, or what they belong to, is gone": 1,
        "tags: whoever made them, or what they belong to, is gone": 1,
    }
    assert world.count("archived_content_segments") == 30
    assert author not in [row[0] for row in world.rows()["content_segments"]]


def test_a_sequence_number_that_was_used_again_keeps_its_newer_segment(world: World) -> None:
    """Of a month that was purged before the database kept what it had taken."""
    world.fill(segments=4)
    world.archived_and_purged()
    world.connection.execute("DELETE FROM ops.purged_segments")
    world.month(MONTH.plus(60))
    newer = world.segment(MONTH.plus(60), thread=0, sequence=1)
    thaw = world.thaw()
    assert thaw.left_out == {"segments: sequence number taken by a newer segment": 1}
    assert world.connection.execute(
        "SELECT id FROM content_segment_keys WHERE thread_id = %s", (world.threads[0],)
    ).fetchall() == [(newer,)]


def test_a_link_waits_for_its_other_month(world: World) -> None:
    other = MONTH.plus(1)
    world.month(MONTH)
    world.month(other)
    here, there = world.segment(MONTH), world.segment(other)
    world.link(here, there)
    world.archive(MONTH)
    world.archive(other)
    world.verified_backup()
    world.purge(MONTH)
    # The link left the database with this month, and is no change of the other one.
    assert world.plan(other).decision == "purge"
    world.verified_backup()
    world.purge(other)
    assert world.thaw().left_out == {}
    assert world.count("content_links") == 0
    assert world.count("ops.waiting_links") == 1
    world.thaw(other)
    assert world.count("content_links") == 1
    assert world.count("ops.waiting_links") == 0


@pytest.mark.usefixtures("begins_purged")
def test_all_generations_come_back_together(world: World) -> None:
    first = world.filled
    world.month(MONTH)
    late = [world.segment(sequence=100 + n) for n in range(3)]
    world.children(late[0])
    world.archived_and_purged()
    assert [g.state for g in generations(world.connection, MONTH)] == ["purged", "purged"]
    world.thaw()
    assert {row[0] for row in world.rows()["content_segments"]} == {*first, *late}


@pytest.mark.usefixtures("begins_purged")
def test_an_unchanged_thaw_leaves_without_a_new_generation(world: World) -> None:
    world.thaw()
    done = world.refreeze()
    assert (done.segments, done.next, done.thaw.state) == (40, None, "done")
    for table in ("archived_content_segments", "content_segment_keys", *TABLES):
        assert world.count(table) == 0, table
    assert len(generations(world.connection, MONTH)) == 1
    assert world.count("ops.erasures") == 0


@pytest.mark.usefixtures("begins_purged")
def test_the_end_of_a_thaw_waits_for_a_neighbours_load_with_a_time_out(world: World) -> None:
    """Which notes, until its transaction ends, what shared rows the other month has, too."""
    thaw = world.thaw()
    # Who waits without a time-out is cancelled instead of waiting for ever.
    world.connection.execute("SET statement_timeout = '5s'")
    with connect(world.database.url, application="neighbour") as neighbour:
        neighbour.execute("BEGIN")
        neighbour.execute(
            sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(units_of(thaw).shared)
        )
        pauses: list[float] = []

        def let_go(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                neighbour.execute("ROLLBACK")

        done = refreeze(replace(world.run, sleep=let_go), thaw, world.throttle())
    assert (done.segments, done.next, len(pauses)) == (40, None, 2)


@pytest.mark.usefixtures("begins_purged")
def test_what_was_edited_and_deleted_while_thawed_becomes_the_newest_state(world: World) -> None:
    segments = world.filled
    world.thaw(family=0)
    world.connection.execute(
        "UPDATE archived_content_segments SET text_content = 'edited' WHERE id = %s",
        (segments[0],),
    )
    world.connection.execute(
        "DELETE FROM content_tags WHERE content_segment_id = %s", (segments[12],)
    )
    world.connection.execute("DELETE FROM archived_content_segments WHERE id = %s", (segments[1],))
    done = world.refreeze()
    assert done.next is not None
    world.freeze()
    world.verified_backup()
    world.purge()
    thaw = world.thaw()
    assert thaw.left_out == {"segments: segment erased": 1, "links: deleted meanwhile": 1}
    rows = world.rows()
    texts = {row[0]: row[5] for row in rows["content_segments"]}
    assert len(texts) == 39
    assert texts[segments[0]] == "edited"
    assert texts[segments[2]] == "once upon a time"
    assert segments[12] not in [row[1] for row in rows["content_tags"]]
    assert segments[0] in [row[1] for row in rows["content_tags"]]


@pytest.mark.usefixtures("begins_purged")
def test_a_load_that_died_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for target in ("ft_ops.archive.thaw.thaw.Insertion.insert", "ft_ops.archive.thaw.thaw._attach"):
        monkeypatch.setattr(target, die)
        with pytest.raises(KeyboardInterrupt):
            world.thaw()
        monkeypatch.undo()
    assert world.thaw().state == "thawed"
    assert world.count("archived_content_segments") == 40
    assert _scratch_tables(world) == []


@pytest.mark.usefixtures("begins_purged")
def test_a_load_that_was_killed_once_its_rows_were_in_leaves_no_scratch_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ft_ops.archive.thaw.thaw._attach", die)
    # Who is killed drops nothing.
    monkeypatch.setattr("ft_ops.archive.thaw.merge.drop_merged", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        world.thaw()
    monkeypatch.undo()
    assert _scratch_tables(world) != []
    assert world.thaw().state == "thawed"
    assert _scratch_tables(world) == []


def _scratch_tables(world: World) -> list[str]:
    found = world.connection.execute(
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = 'ops' AND relname LIKE 'thaw\\_2017%'"
    ).fetchall()
    return [name for (name,) in found]


@pytest.mark.usefixtures("begins_archived")
def test_a_month_in_the_database_needs_no_thaw(world: World) -> None:
    with pytest.raises(Refused, match="its newest generation is frozen"):
        plan_thaw(world.connection, ThawRequest(MONTH, None, "Bulk", 1), PRICES)


@pytest.mark.usefixtures("begins_purged")
def test_deep_archive_has_no_expedited_retrieval(world: World) -> None:
    with pytest.raises(Refused, match="DEEP_ARCHIVE has only Bulk, Standard"):
        plan_thaw(world.connection, ThawRequest(MONTH, None, "Expedited", 1), PRICES)


@pytest.mark.usefixtures("begins_purged")
def test_the_estimate_adds_retrieval_requests_and_storage(world: World) -> None:
    generation = world.newest()
    found, estimate = plan_thaw(world.connection, ThawRequest(MONTH, None, "Standard", 30), PRICES)
    assert [g.number for g in found] == [generation.number]
    frozen = sum(o.stored.bytes for o in generation.objects if o.table in TABLES)
    assert (estimate.objects, estimate.bytes, estimate.longest_hours) == (4, frozen, 12)
    assert estimate.dollars == pytest.approx(frozen / 1e9 * (0.02 + 0.023) + 4 * 0.0001, abs=1e-4)


@pytest.mark.usefixtures("begins_purged")
def test_a_refreeze_refuses_while_the_archive_is_not_whole(world: World) -> None:
    world.thaw()
    generation = latest(world.connection, MONTH)
    assert generation is not None
    stored = generation.objects[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    with pytest.raises(Refused, match="table=content_segments"):
        world.refreeze()
    assert world.count("archived_content_segments") == 40


@pytest.mark.parametrize(
    ("rule", "undone", "reason"),
    [
        (
            "ALTER TABLE content_tags ADD CONSTRAINT dull CHECK (tag_name <> 'summer')",
            "ALTER TABLE content_tags DROP CONSTRAINT dull",
            {"tags: they do not meet the CHECK dull": 3},
        ),
        (
            "CREATE UNIQUE INDEX dull ON content_tags (tag_name)",
            "DROP INDEX dull",
            {"tags: another row has their key": 2},
        ),
    ],
)
def test_a_segment_comes_back_with_all_that_belongs_to_it_or_not_at_all(
    world: World, rule: LiteralString, undone: LiteralString, reason: dict[str, int]
) -> None:
    """Else the next view of the segment would make a newer version of it, without its tag."""
    world.fill(segments=8)
    world.archived_and_purged()
    world.connection.execute(rule)
    [stay] = reason.values()
    assert world.thaw().left_out == reason | {
        "segments: something that belongs to them can not come back": stay
    }
    assert world.count("archived_content_segments") == 8 - stay
    world.connection.execute("UPDATE archived_content_segments SET view_count = view_count + 1")
    world.refreeze()
    world.archived_and_purged()
    world.connection.execute(undone)
    assert world.thaw().left_out == {}
    assert [world.count(t) for t in ("archived_content_segments", "content_tags")] == [8, 3]


def test_a_row_under_another_ones_key_is_not_taken_for_it(world: World) -> None:
    made = world.fill(segments=8)
    [[tag]] = world.connection.execute(
        "SELECT id FROM content_tags WHERE content_segment_id = %s", (made[0],)
    ).fetchall()
    [[link]] = world.connection.execute(
        "SELECT id FROM content_links WHERE source_segment_id = %s", (made[4],)
    ).fetchall()
    world.archived_and_purged()
    other = world.fill(MONTH.plus(1), segments=8)
    world.connection.execute(
        "INSERT INTO content_tags (id, content_segment_id, tag_name, tagged_by)"
        " VALUES (%s, %s, 'again', %s)",
        (tag, other[1], world.users[0]),
    )
    world.connection.execute(
        "INSERT INTO content_links (id, source_segment_id, target_segment_id, link_type,"
        " created_by) VALUES (%s, %s, %s, 'reply', %s)",
        (link, other[5], other[7], world.users[0]),
    )
    assert world.thaw().left_out == {
        "tags: another row has their key": 1,
        "segments: something that belongs to them can not come back": 1,
        "links: another row has their key": 1,
    }


@pytest.mark.usefixtures("begins_purged")
def test_the_newest_version_of_a_segment_is_told_by_no_clock(world: World) -> None:
    """The server's clock may be set back between two exports."""
    world.connection.execute("UPDATE ops.archive SET as_of = as_of + interval '1 hour'")
    world.thaw()
    world.connection.execute("UPDATE archived_content_segments SET text_content = 'newer'")
    world.refreeze()
    world.archived_and_purged()
    world.thaw()
    found = world.connection.execute("SELECT DISTINCT text_content FROM archived_content_segments")
    assert found.fetchall() == [("newer",)]
