"""What is in the archive alone keeps its id and its number: nobody else can take them meanwhile."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import psycopg
import pytest

from ft_ops.archive.purge.purge import purge_month
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from tests.archive.world import MONTH, World

LATER = Month(2022, 8)


def _insert(world: World, *, thread: int, sequence: int, segment: UUID | None = None) -> None:
    world.connection.execute(
        "INSERT INTO content_segments (id, thread_id, user_id, content_type, sequence_number,"
        " text_content, created_at) VALUES (coalesce(%s, gen_random_uuid()), %s, %s, 'text', %s,"
        " 'mine', %s)",
        (segment, world.threads[thread], world.users[0], sequence, LATER.start),
    )


def test_the_id_of_a_purged_segment_is_not_used_again(world: World) -> None:
    made = world.fill()
    world.month(LATER)
    world.archived_and_purged()
    with pytest.raises(psycopg.errors.UniqueViolation, match="its id is not used again"):
        _insert(world, thread=2, sequence=9000, segment=made[0])
    assert world.count("content_segments") == 0


@pytest.mark.usefixtures("begins_archived")
def test_the_number_of_a_purged_segment_is_not_used_again_and_the_next_one_is_told(
    world: World,
) -> None:
    rows = world.rows()
    world.month(LATER)
    world.verified_backup()
    world.purge()
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        _insert(world, thread=0, sequence=1)
    assert refused.value.diag.message_hint == "The next free number is 11."
    _insert(world, thread=0, sequence=11)
    with pytest.raises(psycopg.errors.UniqueViolation):
        world.connection.execute("UPDATE content_segments SET sequence_number = 10")
    assert world.thaw().left_out == {}
    assert world.rows() == rows


def test_a_thawed_segment_has_its_identity_again_and_loses_it_to_nobody_when_it_leaves(
    world: World,
) -> None:
    made = world.fill()
    world.month(LATER)
    world.archived_and_purged()
    assert world.count("ops.purged_segments") == 40
    world.thaw(family=0)
    assert world.count("ops.purged_segments") == 20
    assert world.refreeze().next is None
    assert world.count("ops.purged_segments") == 40
    with pytest.raises(psycopg.errors.UniqueViolation):
        _insert(world, thread=0, sequence=9000, segment=made[0])


@pytest.mark.usefixtures("begins_archived")
def test_a_number_that_is_reserved_while_its_segment_is_here_keeps_nobody_from_purging(
    world: World,
) -> None:
    made = world.filled
    rows = world.rows()
    world.connection.execute(
        "INSERT INTO ops.purged_segments SELECT id, thread_id, 7000 FROM content_segment_keys"
        " WHERE id = ANY (%s)",
        (made[:3],),
    )
    world.verified_backup()
    assert world.purge().kept == 0
    [numbers] = world.connection.execute(
        "SELECT array_agg((id, thread_id, sequence_number)::text ORDER BY id)"
        " FROM ops.purged_segments"
    ).fetchall()
    assert world.thaw().left_out == {}
    assert world.rows() == rows
    assert world.connection.execute(
        "SELECT array_agg((id, thread_id, sequence_number)::text ORDER BY id)"
        " FROM content_segment_keys"
    ).fetchall() == [numbers]


@pytest.mark.usefixtures("begins_archived")
def test_a_reservation_that_somebody_has_locked_is_waited_for_with_a_time_out(
    world: World,
) -> None:
    made = world.filled
    world.connection.execute(
        "INSERT INTO ops.purged_segments SELECT id, thread_id, 7000 FROM content_segment_keys"
        " WHERE id = %s",
        (made[0],),
    )
    world.verified_backup()
    # Who waits without a time-out is cancelled instead of waiting for ever.
    world.connection.execute("SET statement_timeout = '10s'")
    with connect(world.database.url, application="holder") as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT FROM ops.purged_segments FOR UPDATE")
        pauses: list[float] = []

        def let_go(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                holder.execute("ROLLBACK")

        run = replace(world.run, sleep=let_go)
        purge = purge_month(run, world.plan(), world.throttle())
    assert (purge.segments, purge.kept) == (40, 0)
    assert len(pauses) == 2


@pytest.mark.usefixtures("begins_purged")
def test_a_deleted_thread_keeps_no_numbers(world: World) -> None:
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    assert world.count("ops.purged_segments") == 30
    assert world.thaw().left_out == {"segments: thread erased": 10}


@pytest.mark.usefixtures("begins_purged")
def test_late_rows_of_a_purged_month_have_identities_of_their_own(world: World) -> None:
    made = world.filled
    world.month(MONTH)
    late = world.segment(MONTH, thread=0)
    world.archived_and_purged()
    assert world.thaw().left_out == {}
    assert {row[0] for row in world.rows()["content_segments"]} == {*made, late}
