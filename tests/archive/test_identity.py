"""What is removed is named; what only has no partner, another name or another place stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest

from ft_ops.archive.purge.purge import purge_month
from ft_ops.errors import OpsError, Refused
from ft_ops.partitions import ensure_months
from tests.archive.world import MONTH, World, no_sleep

ODD_NAMES = ("content_segments_p20170301", 'März 2017 "x"')


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, place: str) -> Iterator[None]:
    """A run that gets to ``place`` dies there."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"ft_ops.archive.{place}", die)
        with pytest.raises(KeyboardInterrupt):
            yield


def _late_rows(world: World) -> list[UUID]:
    """What the application inserts into a month that was opened again."""
    world.month(MONTH)
    made = [world.segment(thread=n % 4, sequence=1000 + n) for n in range(4)]
    for segment in made:
        world.children(segment)
    world.link(made[0], made[1])
    return made


def _belongings(world: World, segments: Sequence[UUID]) -> dict[str, int]:
    """How much there is of some segments, table by table."""
    found = {}
    for table, column in (
        ("content_segments", "id"),
        ("content_segment_keys", "id"),
        ("photo_narrations", "content_segment_id"),
        ("content_tags", "content_segment_id"),
        ("content_links", "source_segment_id"),
    ):
        row = world.connection.execute(
            f"SELECT count(*) FROM {table} WHERE {column} = ANY (%s)", (segments,)
        ).fetchone()
        assert row is not None
        found[table] = row[0]
    return found


def _everything(world: World) -> dict[str, int]:
    tables = ("content_segment_keys", "photo_narrations", "content_tags", "content_links")
    return {table: world.count(table) for table in tables}


@pytest.mark.usefixtures("begins_purged")
def test_late_rows_that_wait_keep_everything_through_a_thaw_and_its_end(world: World) -> None:
    late = _late_rows(world)
    before = _belongings(world, late)
    assert before["content_tags"] == 4
    assert world.thaw().left_out == {}
    assert world.count("archived_content_segments") == 40
    assert _belongings(world, late) == before
    world.refreeze()
    assert world.count("archived_content_segments") == 0
    assert _belongings(world, late) == before


@pytest.mark.usefixtures("begins_archived")
def test_late_rows_that_wait_keep_everything_through_a_purge_that_keeps_rows(
    world: World,
) -> None:
    made = world.filled
    world.verified_backup()
    late = _late_rows(world)
    before = _belongings(world, late)
    plan = world.plan()
    world.connection.execute(
        "UPDATE archived_content_segments SET view_count = 7 WHERE id = %s", (made[5],)
    )
    purge = purge_month(world.run, plan, world.throttle())
    assert purge.kept >= 1
    assert _belongings(world, late) == before
    assert world.count("content_segment_keys") == 4 + purge.kept


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_month_of_any_name_is_found_by_the_run_after_one_that_died(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    world.fill()
    before = _everything(world)
    quoted = '"' + name.replace('"', '""') + '"'
    world.connection.execute(f"ALTER TABLE content_segments_2017_03 RENAME TO {quoted}")
    with dying(monkeypatch, "move.move._attach"):
        world.move()
    assert world.count("content_segments") == 0
    # Meanwhile a partition of the month's usual name is made: late rows may come.
    ensure_months(world.connection, "content_segments", [MONTH], sleep=no_sleep)
    move = world.move()
    assert (move.moved, move.generation.state) == (True, "archived")
    assert world.count("archived_content_segments_2017_03") == 40
    assert world.freeze().rows["content_segments"] == 40
    assert _everything(world) == before


def test_a_lone_table_that_was_renamed_is_still_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    with dying(monkeypatch, "move.move._attach"):
        world.move()
    world.connection.execute("ALTER TABLE content_segments_2017_03 RENAME TO put_aside")
    assert world.move().moved
    assert world.count("archived_content_segments") == 40


def test_a_table_that_takes_the_lone_ones_name_is_not_taken_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    before = _everything(world)
    with dying(monkeypatch, "move.move._attach"):
        world.move()
    world.connection.execute("DROP TABLE content_segments_2017_03")
    world.connection.execute("CREATE TABLE content_segments_2017_03 (LIKE content_segments)")
    with pytest.raises(Refused, match="that is another table now"):
        world.move()
    assert _everything(world) == before, "no key goes because its segment is not there"


def test_a_key_without_a_segment_is_no_reason_to_delete(world: World) -> None:
    world.fill()
    world.connection.execute(
        "INSERT INTO content_segment_keys (id, created_at, thread_id, sequence_number)"
        " VALUES (%s, %s, %s, 99)",
        (uuid4(), MONTH.start, world.threads[0]),
    )
    world.archived_and_purged()
    assert world.count("content_segment_keys") == 1
    world.thaw()
    assert world.count("content_segment_keys") == 41


def _interrupted_purge(world: World, monkeypatch: pytest.MonkeyPatch, batches: int = 3) -> None:
    """The throttle gives up after some batches: the month stands alone until the next run."""
    throttle = world.throttle()
    calls = 0

    def give_up() -> None:
        nonlocal calls
        calls += 1
        if calls > batches:
            raise OpsError("throttled work", cause="a small query took 90 ms", next_step="later")

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
        patch.setattr(type(throttle), "wait", lambda self: give_up())
        with pytest.raises(OpsError, match="throttled"):
            purge_month(world.run, world.plan(), throttle)
    assert world.count("archived_content_segments") == 0


@pytest.mark.usefixtures("begins_archived")
def test_a_thread_deleted_while_a_purge_is_interrupted_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.verified_backup()
    _interrupted_purge(world, monkeypatch)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    left = world.connection.execute(
        "SELECT count(*) FROM content_segment_keys WHERE thread_id = %s", (world.threads[3],)
    ).fetchone()
    assert left == (0,)
    purge = world.purge()
    assert purge.generation.state == "purged"
    assert world.count("content_segment_keys") == world.count("archived_content_segments")
    assert world.count("content_segment_keys") == purge.kept


@pytest.mark.usefixtures("begins_archived")
def test_a_row_that_nobody_has_proven_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody with the right to writes a row into the very table that is being removed."""
    world.verified_backup()
    with dying(monkeypatch, "purge.purge.settle"):
        world.purge()
    row = world.connection.execute(
        "SELECT id FROM archived_content_segments_2017_03 LIMIT 1"
    ).fetchone()
    assert row is not None
    stranger = UUID(bytes=uuid4().bytes[:15] + row[0].bytes[15:])
    world.connection.execute(
        "INSERT INTO archived_content_segments_2017_03 (id, thread_id, user_id, content_type,"
        " sequence_number, created_at) VALUES (%s, %s, %s, 'text', 999, %s)",
        (stranger, world.threads[0], world.users[0], MONTH.start),
    )
    purge = world.purge()
    assert purge.next is not None
    assert [row[0] for row in world.rows()["content_segments"]] == [stranger]


def _with_rows(world: World) -> None:
    world.connection.execute(
        "CREATE TABLE archived_content_segments_2017_03 (LIKE content_segments INCLUDING ALL)"
    )
    world.connection.execute(
        "INSERT INTO archived_content_segments_2017_03 (id, thread_id, user_id, content_type,"
        " sequence_number, created_at) VALUES (%s, %s, %s, 'text', 999, %s)",
        (uuid4(), world.threads[0], world.users[0], MONTH.start),
    )


def _attached(world: World) -> None:
    world.connection.execute(
        "CREATE TABLE other PARTITION OF archived_content_segments"
        " FOR VALUES FROM ('2017-03-01+00') TO ('2017-04-01+00')"
    )


@pytest.mark.parametrize("somebody_made", [_with_rows, _attached], ids=lambda f: f.__name__)
@pytest.mark.usefixtures("begins_purged")
def test_a_thaw_replaces_no_table_that_it_did_not_make(
    world: World, somebody_made: Callable[[World], None]
) -> None:
    somebody_made(world)
    with pytest.raises(Refused, match="there is a table public"):
        world.thaw()
