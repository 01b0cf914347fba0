"""What others do in the middle of a batch: after the comparison, and before the deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus

from ft_ops.archive.hold.holds import add_hold, release_hold
from ft_ops.archive.month.content import archived_name
from ft_ops.archive.purge.belongings import delete_keys
from ft_ops.archive.purge.compare import Compared, compare
from ft_ops.archive.purge.purge import Purge
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import name_of, statement
from tests.archive.world import MONTH, World

SEGMENTS = 40


def _untag(world: World, other: Connection, segment: UUID) -> None:
    other.execute("DELETE FROM content_tags WHERE content_segment_id = %s", (segment,))


def _narrate(world: World, other: Connection, segment: UUID) -> None:
    other.execute(
        "UPDATE photo_narrations SET narration_text = 'an ocean' WHERE content_segment_id = %s",
        (segment,),
    )


def _link(world: World, other: Connection, segment: UUID) -> None:
    other.execute(
        "INSERT INTO content_links (source_segment_id, target_segment_id, link_type, created_by)"
        " SELECT id, %s, 'reply', %s FROM content_segment_keys WHERE id <> %s LIMIT 1",
        (segment, world.users[0], segment),
    )


def _hold(world: World, other: Connection) -> None:
    add_hold(other, family_id=world.families[0], reason="case 44")


def _purge_with(world: World, bystander: Callable[[], None], patch: pytest.MonkeyPatch) -> Purge:
    """A purge, into each of whose comparisons somebody steps, once."""
    came = False

    def then(*arguments: Any) -> Compared:
        nonlocal came
        found = compare(*arguments)
        if not came:
            came = True
            bystander()
        return found

    patch.setattr("ft_ops.archive.purge.remove.compare", then)
    return world.purge()


@pytest.mark.parametrize("act", [_untag, _narrate, _link])
@pytest.mark.usefixtures("begins_archived")
def test_what_is_committed_between_comparison_and_deletion_keeps_its_segment(
    world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[World, Connection, UUID], None]
) -> None:
    made = world.filled
    world.verified_backup()
    segment = made[36]  # it has a narration, a tag and a link
    with connect(world.database.url, application="writer") as other:
        purge = _purge_with(world, lambda: act(world, other, segment), monkeypatch)
    # A link that nobody proved keeps both of its ends.
    kept = 2 if act is _link else 1
    assert (purge.segments, purge.kept) == (SEGMENTS - kept, kept)
    left = world.rows()
    assert segment in [row[0] for row in left["content_segments"]]
    assert len(left["content_segments"]) == kept == world.count("content_segment_keys")


@pytest.mark.usefixtures("begins_archived")
def test_a_hold_that_is_placed_between_comparison_and_deletion_keeps_all_of_the_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.verified_backup()
    before = world.rows()
    with connect(world.database.url, application="holder") as other:
        purge = _purge_with(
            world,
            lambda: _hold(world, other),
            monkeypatch,
        )
    assert "hold" in purge.stopped
    assert (purge.segments, world.rows()) == (0, before)


@pytest.mark.usefixtures("begins_archived")
def test_what_somebody_keeps_changing_stays_and_the_rest_of_its_batch_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or no month would ever go whose threads are deleted one after the other."""
    made = world.filled
    world.verified_backup()
    with connect(world.database.url, application="writer") as other:

        def then(*arguments: Any) -> Compared:
            found = compare(*arguments)
            # They are what was proven, each time, and other rows.
            other.execute(
                "UPDATE content_tags SET tag_name = tag_name WHERE content_segment_id = ANY (%s)",
                ([made[3], made[36]],),
            )
            return found

        monkeypatch.setattr("ft_ops.archive.purge.remove.compare", then)
        purge = world.purge()
    assert (purge.segments, purge.kept) == (SEGMENTS - 2, 2)
    assert world.count(archived_name(MONTH)) == 2 == world.count("content_segment_keys")
    assert {row[0] for row in world.rows()["content_segments"]} == {made[3], made[36]}


def test_a_batch_that_keeps_its_rows_for_too_long_is_divided(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    world.archive()
    world.verified_backup()
    monkeypatch.setattr("ft_ops.archive.move.portion.AIM_SECONDS", 10)
    tried: list[int] = []

    def slowly(connection: Connection, month: Month, ids: str, *others: Any) -> None:
        tried.append(ids.count(",") + 1)
        if tried[-1] > 1:
            connection.execute("SELECT pg_sleep(0.2)")
        delete_keys(connection, month, ids, *others)

    monkeypatch.setattr("ft_ops.archive.purge.remove.delete_keys", slowly)
    purge = world.purge()
    assert (purge.segments, purge.kept) == (SEGMENTS, 0)
    # Nothing is given up for good: each batch that was too large goes in halves, to the last row.
    assert tried[:7] == [40, 20, 10, 5, 2, 1, 2]
    assert tried.count(1) == SEGMENTS


def test_rows_that_name_a_segment_by_its_number_go_with_it_unless_they_changed(
    world: World,
) -> None:
    rows = sql.Identifier("100% of {it}")
    world.connection.execute(
        sql.SQL(
            "CREATE TABLE {} (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), said text,"
            ' thread uuid NOT NULL, "%s" integer NOT NULL,'
            ' FOREIGN KEY (thread, "%s") REFERENCES content_segment_keys'
            " (thread_id, sequence_number) ON DELETE CASCADE)"
        ).format(rows)
    )
    world.connection.execute("SELECT ops.guard_content()")
    world.fill()
    world.connection.execute(
        sql.SQL(
            'INSERT INTO {} (said, thread, "%s")'
            " SELECT 'yes', thread_id, sequence_number FROM content_segment_keys"
        ).format(rows)
    )
    world.archive()
    world.verified_backup()
    world.connection.execute(
        sql.SQL("UPDATE {} SET said = 'no' WHERE id = (SELECT id FROM {} LIMIT 1)").format(
            rows, rows
        )
    )
    purge = world.purge()
    assert (purge.segments, purge.kept) == (SEGMENTS - 1, 1)
    assert world.count("100% of {it}") == 1


@pytest.mark.usefixtures("begins_archived")
def test_no_table_is_read_while_its_attach_keeps_others_from_threads_and_users(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL reads what it attaches, unless a CHECK says that its rows are in bounds.

    And we read it once more, for what its deleted threads may have left.
    """
    made = world.filled
    world.verified_backup()
    _untag(world, world.connection, made[36])
    later = Month(2017, 4)
    world.fill(later)
    said: list[str] = []
    world.connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    world.connection.execute("SET client_min_messages = debug1")
    execute = type(world.connection).execute
    locked: list[tuple[object, ...]] = []
    reads = 0

    def noting(self: Connection, query: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal reads
        if name_of(query) == "archive/erased_threads":
            reads += 1
            locked.extend(
                execute(
                    self,
                    "SELECT relation::regclass::text, mode FROM pg_locks"
                    " WHERE pid = pg_backend_pid() AND relation IS NOT NULL AND mode IN"
                    " ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock')",
                )
            )
        return execute(self, query, *arguments, **named)

    monkeypatch.setattr(type(world.connection), "execute", noting)
    world.move(later)
    assert (reads, locked) == (2, [])
    assert world.purge().kept == 1
    world.freeze()
    world.verified_backup()
    assert world.purge().kept == 0
    world.thaw()
    assert [line for line in said if "implied by existing constraints" in line]
    assert [line for line in said if line.startswith("verifying table")] == []
    assert locked == []


@pytest.mark.usefixtures("begins_archived")
def test_what_takes_time_at_the_end_of_a_purge_comes_before_its_locks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first on nobody may even read threads and users."""
    made = world.filled
    world.verified_backup()
    _untag(world, world.connection, made[36])
    execute = type(world.connection).execute
    ends = False
    since: list[str | None] = []

    def noting(self: Connection, query: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal ends
        name = name_of(query)
        ends = ends or name == "archive/count_rows"
        in_transaction = self.info.transaction_status != TransactionStatus.IDLE
        if ends and in_transaction and (since or name == "archive/lock_parents"):
            since.append(name)
        return execute(self, query, *arguments, **named)

    monkeypatch.setattr(type(world.connection), "execute", noting)
    assert world.purge().kept == 1
    steps = (
        "lock_parents",
        "lock_at_once",
        "lock_at_once",
        "kept_as_counted",
        "drop_purged",
        "let_vacuum",
        "to_public",
        "rename",
        "stop_following_deletes",
        "forget_counted",
        "attach",
    )
    assert since == [f"archive/{step}" for step in steps]


def test_a_publication_of_all_tables_is_in_nobodys_way(world: World) -> None:
    """The server refuses UPDATE and DELETE of a published table by whose rows none can be told."""
    with psycopg.connect(world.database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    refusing = world.connection.execute(statement("health/refusing_publications"))
    # TimescaleDB's own catalog has such tables.
    assert [row for row in refusing if not row[0].startswith("_timescaledb_")] == []
    made = world.fill()
    hold = add_hold(world.connection, family_id=world.families[0], reason="case 44")
    release_hold(world.connection, hold.id, "it was settled")
    world.archive()
    world.verified_backup()
    world.children(made[1])
    assert world.purge().kept == 1
    world.thaw()
    assert world.refreeze().segments == SEGMENTS - 1
