"""Totals reach the product's columns without getting in the application's way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.storage import (
    Published,
    latest_snapshot,
    publish_families,
    publish_users,
)
from tests.fixtures.postgres import Database
from tests.storage.world import World, changed, expected, make_world, shown

Sleep = Callable[[float], None]


def publish(connection: Connection, sleep: Sleep = lambda seconds: None) -> Published:
    """Families in batches of two, with a short wait for locks."""
    return publish_families(connection, batch_rows=2, lock_wait_ms=20, sleep=sleep)


@pytest.fixture
def world(connection: Connection) -> World:
    made = make_world(connection, seed=3)
    changed(connection)
    return made


@pytest.fixture
def app(database: Database) -> Iterator[Connection]:
    """The application's session; here with every right."""
    with connect(database.url, application="app") as opened:
        yield opened


def test_families_and_users_show_the_totals_of_the_snapshot_named(world: World) -> None:
    world.connection.execute("UPDATE users SET storage_used_bytes = NULL")
    families = publish(world.connection)
    users = publish_users(world.connection, batch_rows=2, lock_wait_ms=20)
    totals = expected(world.connection)
    assert shown(world.connection) == (totals.families, totals.users)
    assert families.snapshot == users.snapshot == latest_snapshot(world.connection)


def test_only_rows_that_differ_are_written(world: World) -> None:
    publish(world.connection)
    versions = "SELECT id, xmin::text FROM families ORDER BY id"
    before = world.connection.execute(versions).fetchall()
    world.connection.execute(
        "UPDATE families SET storage_used_bytes = 1 WHERE id = %s", (world.families[1],)
    )
    assert publish(world.connection).written == 1
    after = world.connection.execute(versions).fetchall()
    assert {row[0] for row in set(after) - set(before)} == {world.families[1]}


def test_publishing_is_no_edit(world: World) -> None:
    edited = "SELECT id, updated_at FROM families ORDER BY id"
    before = world.connection.execute(edited).fetchall()
    assert publish(world.connection).written > 0
    assert world.connection.execute(edited).fetchall() == before


def test_nothing_of_a_concurrent_edit_is_lost(world: World, app: Connection) -> None:
    """The edit is open when the first round comes and committed before the second."""
    app.execute("BEGIN")
    app.execute("UPDATE families SET name = 'renamed', storage_limit_bytes = 5")
    rounds: list[int] = []

    def commit_meanwhile(_seconds: float) -> None:
        rounds.append(world.connection.execute("SELECT 1").rowcount)
        app.execute("COMMIT")

    assert publish(world.connection, commit_meanwhile).rounds == 2
    assert len(rounds) == 1
    rows = world.connection.execute(
        "SELECT DISTINCT name, storage_limit_bytes FROM families"
    ).fetchall()
    assert rows == [("renamed", 5)]
    assert shown(world.connection)[0] == expected(world.connection).families


def test_counters_that_the_application_keeps_meanwhile_add_up(
    world: World, app: Connection
) -> None:
    """Rows change between our statement's snapshot and its lock: only our column may be set."""
    edits = 100

    def edit() -> None:
        # One row at a time: two statements over all rows may lock them in different orders.
        for _ in range(edits):
            for family in world.families:
                app.execute(
                    "UPDATE families SET member_limit = member_limit + 1 WHERE id = %s", (family,)
                )

    editor = threading.Thread(target=edit)
    editor.start()
    while editor.is_alive():
        world.connection.execute("UPDATE families SET storage_used_bytes = -1")
        with suppress(OpsError):
            publish(world.connection)
    editor.join()
    publish(world.connection)
    limits = world.connection.execute("SELECT DISTINCT member_limit FROM families").fetchall()
    assert limits == [(10 + edits,)]
    assert shown(world.connection)[0] == expected(world.connection).families


def test_a_locked_row_holds_up_nobody_else(world: World, app: Connection) -> None:
    """Others are written at once; the application then locks these too, and meets no deadlock."""
    first, *others = sorted(world.families)
    world.connection.execute("UPDATE families SET storage_used_bytes = -1")
    app.execute("SET lock_timeout = '100ms'")
    app.execute("BEGIN")
    app.execute("UPDATE families SET name = 'held' WHERE id = %s", (first,))

    def look(_seconds: float) -> None:
        used = shown(app)[0]
        assert used[first] == -1
        assert -1 not in [used[other] for other in others]
        app.execute("UPDATE families SET name = 'held' WHERE id = ANY (%s)", (others,))
        app.execute("COMMIT")

    assert publish(world.connection, look).rounds == 2
    assert shown(world.connection)[0] == expected(world.connection).families


def test_rows_that_stay_locked_are_named_and_written_next_time(
    world: World, app: Connection
) -> None:
    held = max(world.families)
    world.connection.execute("UPDATE families SET storage_used_bytes = -1")
    app.execute("BEGIN")
    app.execute("UPDATE families SET name = 'held' WHERE id = %s", (held,))
    with pytest.raises(OpsError, match=f"1 rows, the first of them {held}") as refused:
        publish(world.connection)
    assert "2 are written" in refused.value.next_step
    app.execute("COMMIT")
    assert publish(world.connection).written == 1


def test_an_exclusive_table_lock_is_waited_for_with_a_time_out(
    world: World, app: Connection
) -> None:
    app.execute("BEGIN")
    app.execute("LOCK TABLE families IN SHARE MODE")
    assert publish(world.connection, lambda seconds: _commit(app)).rounds == 2
    assert shown(world.connection)[0] == expected(world.connection).families


def _commit(app: Connection) -> None:
    app.execute("COMMIT")


def test_a_family_made_after_the_snapshot_keeps_its_zero(world: World) -> None:
    world.connection.execute(
        "INSERT INTO families (name, owner_id) VALUES ('new', %s)", (world.users[0],)
    )
    publish(world.connection)
    row = world.connection.execute(
        "SELECT storage_used_bytes FROM families WHERE name = 'new'"
    ).fetchone()
    assert row == (0,)


def test_without_a_recomputation_nothing_is_published(connection: Connection) -> None:
    make_world(connection, seed=3)
    connection.execute("UPDATE families SET storage_used_bytes = 42")
    with pytest.raises(Refused, match="never computed"):
        publish(connection)
    assert set(shown(connection)[0].values()) == {42}
