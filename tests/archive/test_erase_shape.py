"""An erasure takes out what was erased and nothing else, whatever the schema has become."""

from __future__ import annotations

import io
from dataclasses import replace

import psycopg
import pyarrow.parquet as pq
import pytest

from ft_ops.archive.cancellation import cancel
from ft_ops.archive.erase.erase import Erasure, erase_month
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.store.freeze import freeze_month
from ft_ops.s3.objects import read_object
from tests.archive.test_ways_out import Died
from tests.archive.world import MONTH, World


def _erase(world: World) -> Erasure:
    return erase_month(world.run, world.ask(purpose="erasure", days=1))


def _column(world: World, generation: Generation, table: str, column: str) -> list[object]:
    found: list[object] = []
    for item in generation.objects:
        if item.table == table:
            body = read_object(world.bucket, item.stored)
            found += pq.read_table(io.BytesIO(body)).column(column).to_pylist()
    return found


def _states(world: World) -> list[tuple[int, str]]:
    return [(g.number, g.state) for g in generations(world.connection, MONTH)]


def _migrate(world: World, *statements: str) -> None:
    for statement in statements:
        world.connection.execute(statement.encode())


def _declare_dropped(world: World, table: str, column: str) -> None:
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change)"
        " VALUES (%s, %s, 'dropped')",
        (table, column),
    )


@pytest.fixture
def readable(world: World) -> World:
    """Its objects lie where they can be read at once."""
    world.rules = replace(world.rules, storage_class="GLACIER_IR")
    return world


def test_what_was_dropped_since_stays_in_the_archive(readable: World) -> None:
    world = readable
    parents = ("content_segments", "archived_content_segments")
    _migrate(
        world,
        "CREATE TYPE mood AS ENUM ('calm', 'wild')",
        *(f"ALTER TABLE {t} ADD COLUMN mood mood DEFAULT 'calm'" for t in parents),
        *(f"ALTER TABLE {t} ADD COLUMN weather text DEFAULT 'fair'" for t in parents),
    )
    world.fill()
    world.archived_and_purged()
    _migrate(
        world,
        *(f"ALTER TABLE {t} DROP COLUMN mood, DROP COLUMN weather" for t in parents),
        "DROP TYPE mood",
        "DROP TABLE content_tags",
        # Nobody has declared what became of it: an erasure does not have to know.
        *(f"ALTER TABLE {t} RENAME COLUMN text_content TO body" for t in parents),
    )
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    assert _erase(world).erased["content_segments"] == 10
    assert remove_superseded(world.run).failed == ()
    assert _states(world) == [(1, "superseded"), (2, "purged")]
    newest = generations(world.connection, MONTH)[1]
    assert _column(world, newest, "content_segments", "mood") == ["calm"] * 30
    assert _column(world, newest, "content_segments", "weather") == ["fair"] * 30
    assert len(_column(world, newest, "content_tags", "tag_name")) == 10
    assert plan_erasures(world.connection, world.bucket) == []
    for table, column in (
        ("content_tags", ""),
        ("content_segments", "mood"),
        ("content_segments", "weather"),
    ):
        _declare_dropped(world, table, column)
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change, new_name)"
        " VALUES ('content_segments', 'text_content', 'renamed', 'body')"
    )
    assert world.thaw().left_out == {}
    assert world.count("archived_content_segments") == 30


def _two_generations(world: World) -> None:
    """One of all threads, and one of late rows in the first thread and the last."""
    world.fill()
    world.archived_and_purged()
    world.month(MONTH)
    for thread in (0, 3):
        world.segment(thread=thread)
    world.archived_and_purged()


def test_each_generation_is_rewritten_by_itself_and_one_without_the_erased_stays(
    world: World,
) -> None:
    _two_generations(world)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[2],))
    assert [g.number for g in _erase(world).generations] == [3]
    assert _states(world) == [(1, "superseded"), (2, "purged"), (3, "purged")]
    assert plan_erasures(world.connection, world.bucket)[0].generations == ()
    assert world.thaw().left_out == {}
    assert world.count("archived_content_segments") == 32


@pytest.mark.parametrize("calls", [1, pytest.param(2, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("cancelled", [pytest.param(False, marks=pytest.mark.chaos), True])
def test_an_erasure_of_two_generations_that_died_is_gone_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch, calls: int, *, cancelled: bool
) -> None:
    _two_generations(world)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    seen = 0

    def die_once(run: object, generation: Generation) -> Generation:
        nonlocal seen
        seen += 1
        if seen == calls:
            raise Died
        return freeze_month(world.run, generation)

    monkeypatch.setattr("ft_ops.archive.proof.workflow.freeze_month", die_once)
    with pytest.raises(Died):
        _erase(world)
    monkeypatch.undo()
    if cancelled:
        cancel(world.run, MONTH)
        assert _states(world)[:2] == [(1, "purged"), (2, "purged")]
        assert {state for _, state in _states(world)[2:]} == {"superseded"}
    done = _erase(world)
    assert len(done.generations) == 2
    live = [number for number, state in _states(world) if state == "purged"]
    assert live == [g.number for g in done.generations]
    assert remove_superseded(world.run).failed == ()
    assert plan_erasures(world.connection, world.bucket) == []
    assert world.thaw().left_out == {}
    assert world.count("archived_content_segments") == 31


@pytest.mark.usefixtures("begins_purged")
def test_a_link_that_is_deleted_under_another_key_leaves_the_archive(world: World) -> None:
    """Its archive knows it by the key of its day, which its table has no more."""
    _migrate(
        world,
        "ALTER TABLE content_links DROP CONSTRAINT content_links_pkey,"
        " ADD PRIMARY KEY (source_segment_id, target_segment_id, link_type)",
    )
    world.thaw()
    [[gone]] = world.connection.execute(
        "DELETE FROM content_links WHERE id = (SELECT min(id::text)::uuid FROM content_links)"
        " RETURNING id"
    ).fetchall()
    world.refreeze()
    (plan,) = plan_erasures(world.connection, world.bucket)
    assert [g.number for g in plan.generations] == [1]
    world.rules = replace(world.rules, storage_class="GLACIER_IR")
    (newest,) = _erase(world).generations
    links = _column(world, newest, "content_links", "id")
    assert len(links) == 9
    assert gone not in links
    assert plan_erasures(world.connection, world.bucket)[0].generations == ()


@pytest.mark.usefixtures("begins_purged")
def test_no_bulk_load_silences_a_tombstone(world: World) -> None:
    made = world.filled
    world.thaw()
    with psycopg.connect(world.database.admin_url, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("DELETE FROM archived_content_segments WHERE id = %s", (made[0],))
        admin.execute("DELETE FROM content_segment_keys WHERE id = %s", (made[0],))
    world.refreeze()
    assert world.thaw().left_out == {"segments: segment erased": 1}
