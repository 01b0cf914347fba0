"""Each link that nobody deleted is in the database, waits, or is in an archive that brings it."""

from __future__ import annotations

from itertools import permutations
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest

from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.month.ledger import generations
from ft_ops.months import Month
from tests.archive.world import MONTH, NEXT, World

THIRD = Month(2017, 5)


def _link(world: World, source: UUID, target: UUID) -> UUID:
    world.link(source, target)
    row = world.connection.execute(
        "SELECT id FROM content_links WHERE (source_segment_id, target_segment_id) = (%s, %s)",
        (source, target),
    ).fetchone()
    assert row is not None
    link: UUID = row[0]
    return link


def _links(world: World) -> dict[UUID, object]:
    return dict(world.connection.execute("SELECT id, metadata FROM content_links").fetchall())


def _mark(world: World, link: UUID, mark: int) -> None:
    world.connection.execute(
        "UPDATE content_links SET metadata = jsonb_build_object('mark', %s::int) WHERE id = %s",
        (mark, link),
    )


def test_links_within_a_month_survive_a_purge_that_keeps_a_row(world: World) -> None:
    world.month(MONTH)
    made = [world.segment() for _ in range(60)]
    for source, target in zip(made[1:], made, strict=False):
        world.link(source, target)
    before = _links(world)
    world.archive()
    world.verified_backup()
    # One view, counted between the proof and the removal.
    world.connection.execute(
        "UPDATE archived_content_segments SET view_count = 1 WHERE id = %s", (made[30],)
    )
    purge = world.purge()
    assert (purge.segments, purge.kept) == (59, 1)
    world.freeze()
    world.verified_backup()
    world.purge()
    assert world.thaw().left_out == {}
    assert _links(world) == before


@pytest.mark.parametrize(
    "order",
    [
        # One of the six; the others are for the long runs.
        pytest.param(order, marks=[pytest.mark.chaos] if number else [])
        for number, order in enumerate(permutations((MONTH, NEXT, THIRD)))
    ],
    ids=str,
)
def test_links_between_months_come_back_in_whatever_order_these_do(
    world: World, order: tuple[Month, ...]
) -> None:
    """Archived and purged in one order, with an edit in between; thawed in every other."""
    months = (MONTH, NEXT, THIRD)
    for month in months:
        world.month(month)
    a, b, c = (world.segment(month) for month in months)
    edited, kept = _link(world, a, b), _link(world, c, b)
    _link(world, a, c)
    world.archive(NEXT)
    # Whoever was archived first has an older version of it.
    _mark(world, edited, 2)
    world.archive(MONTH)
    world.verified_backup()
    world.purge(MONTH)
    world.archive(THIRD)
    world.verified_backup()
    world.purge(THIRD)
    purge = world.purge(NEXT)
    while purge.next is not None:
        world.freeze(NEXT)
        world.verified_backup()
        purge = world.purge(NEXT)
    assert _links(world) == {}
    # A clock that went backwards all the time: the order of the exports does not depend on it.
    world.connection.execute(
        "UPDATE ops.archive SET as_of = timestamptz '2020-01-01+00' - sequence * interval '1 hour'"
    )
    for month in order:
        assert world.thaw(month).left_out == {}
    found = _links(world)
    assert len(found) == 3
    assert (found[edited], found[kept]) == ({"mark": 2}, {})
    assert world.count("ops.waiting_rows") == 0


def test_a_deleted_link_stays_deleted_and_one_made_again_comes_back(world: World) -> None:
    world.month(MONTH)
    world.month(NEXT)
    a, b, c = world.segment(MONTH), world.segment(NEXT), world.segment(MONTH)
    gone, within, again = _link(world, a, b), _link(world, a, c), _link(world, c, b)
    world.archive(MONTH)
    world.archive(NEXT)
    world.connection.execute("DELETE FROM content_links WHERE id = ANY (%s)", ([gone, again],))
    world.connection.execute("DELETE FROM content_links WHERE id = %s", (within,))
    world.connection.execute(
        "INSERT INTO content_links (id, source_segment_id, target_segment_id, link_type,"
        " created_by) VALUES (%s, %s, %s, 'reply', %s)",
        (again, c, b, world.users[0]),
    )
    world.verified_backup()
    for month in (MONTH, NEXT):
        purge = world.purge(month)
        while purge.next is not None:
            world.freeze(month)
            world.verified_backup()
            purge = world.purge(month)
    assert world.thaw(NEXT).left_out == {"links: deleted meanwhile": 1}
    assert world.thaw(MONTH).left_out == {"links: deleted meanwhile": 2}
    assert set(_links(world)) == {again}


@pytest.mark.usefixtures("begins_purged")
def test_what_the_archive_itself_removes_leaves_no_tombstone(world: World) -> None:
    assert world.count("ops.erased_rows") == 0
    world.thaw()
    world.refreeze()
    assert world.count("ops.erased_rows") == 0
    assert len(generations(world.connection, MONTH)) == 1


def test_a_neighbour_that_was_thawed_and_left_does_not_make_a_month_look_changed(
    world: World,
) -> None:
    world.month(MONTH)
    world.month(NEXT)
    a, b = world.segment(MONTH), world.segment(NEXT)
    _link(world, b, a)
    world.archive(NEXT)
    world.archived_and_purged(MONTH)
    world.verified_backup()
    world.thaw(MONTH)
    world.refreeze(MONTH)
    purge = world.purge(NEXT)
    assert (purge.segments, purge.kept, purge.next) == (1, 0, None)


def test_a_link_that_only_the_neighbour_archived_waits_again_when_its_end_leaves(
    world: World,
) -> None:
    """It was made after this month was exported: this month's archive does not have it."""
    world.month(MONTH)
    world.month(NEXT)
    a, b = world.segment(MONTH), world.segment(NEXT)
    world.archived_and_purged(MONTH)
    world.thaw(MONTH)
    link = _link(world, b, a)
    world.archive(NEXT)
    world.verified_backup()
    world.purge(NEXT)
    assert world.refreeze(MONTH).next is None
    assert _links(world) == {}
    world.thaw(NEXT)
    assert world.count("ops.waiting_links") == 1
    for _ in range(2):
        world.thaw(MONTH)
        assert set(_links(world)) == {link}
        assert world.refreeze(MONTH).next is None
        assert _links(world) == {}
        assert world.count("ops.waiting_links") == 1
    assert world.refreeze(NEXT).next is None
    assert world.count("ops.waiting_links") == 0
    world.thaw(MONTH)
    world.thaw(NEXT)
    assert set(_links(world)) == {link}
    # And the other one may leave first.
    assert world.refreeze(NEXT).next is None
    assert world.refreeze(MONTH).next is None
    assert _links(world) == {}


@pytest.mark.chaos
def test_a_link_edited_while_both_months_are_thawed_is_kept_as_it_is_now(world: World) -> None:
    world.month(MONTH)
    world.month(NEXT)
    link = _link(world, world.segment(MONTH), world.segment(NEXT))
    for month in (MONTH, NEXT):
        world.archived_and_purged(month)
    for month in (MONTH, NEXT):
        world.thaw(month)
    _mark(world, link, 5)
    for month in (MONTH, NEXT):
        done = world.refreeze(month)
        if done.next is not None:
            world.freeze(month)
            world.verified_backup()
            world.purge(month)
    assert _links(world) == {}
    for month in (NEXT, MONTH):
        world.thaw(month)
    assert _links(world) == {link: {"mark": 5}}


def test_a_link_into_a_month_that_is_not_archived_leaves_and_comes_with_its_end(
    world: World,
) -> None:
    world.month(MONTH)
    hot = Month(2018, 1)
    world.month(hot)
    link = _link(world, world.segment(MONTH), world.segment(hot))
    world.archived_and_purged(MONTH)
    assert _links(world) == {}
    world.thaw(MONTH)
    assert set(_links(world)) == {link}


@pytest.mark.usefixtures("begins_purged")
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE content_links RENAME TO references_between",
        "ALTER TABLE content_links RENAME COLUMN id TO link_id",
    ],
)
@pytest.mark.parametrize("deleted", [pytest.param("before", marks=pytest.mark.chaos), "after"])
def test_a_link_that_was_deleted_stays_deleted_whatever_it_is_called(
    world: World, change: LiteralString, deleted: str
) -> None:
    world.thaw()
    before = world.count("content_links")

    def delete(table: LiteralString, key: LiteralString) -> None:
        world.connection.execute(
            f"DELETE FROM {table} WHERE {key} = (SELECT min({key}::text)::uuid FROM {table})"
        )

    if deleted == "before":
        delete("content_links", "id")
    world.connection.execute(change)
    is_table = "RENAME TO" in change
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change, new_name)"
        " VALUES ('content_links', %s, 'renamed', %s)",
        ("", "references_between") if is_table else ("id", "link_id"),
    )
    table: LiteralString = "references_between" if is_table else "content_links"
    if deleted == "after":
        delete(table, "id" if is_table else "link_id")
    world.refreeze()
    world.archived_and_purged()
    [plan] = plan_erasures(world.connection, world.bucket)
    assert plan.generations
    world.thaw()
    assert world.count(table) == before - 1


@pytest.mark.parametrize("kind", ["plain", "partitioned"])
def test_a_later_table_of_shared_rows_needs_nobody_to_name_it(world: World, kind: str) -> None:
    world.connection.execute(
        "CREATE TABLE quotes (id uuid, source uuid REFERENCES content_segment_keys (id)"
        " ON DELETE CASCADE, target uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE,"
        " PRIMARY KEY (id))" + (" PARTITION BY HASH (id)" if kind == "partitioned" else "")
    )
    if kind == "partitioned":
        world.connection.execute(
            "CREATE TABLE quotes_all PARTITION OF quotes FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
        )
    world.connection.execute("SELECT ops.guard_content()")
    made = world.fill(segments=8)
    for target in made[1:3]:
        world.connection.execute(
            "INSERT INTO quotes VALUES (uuid_generate_v4(), %s, %s)", (made[0], target)
        )
    world.archived_and_purged()
    world.thaw()
    world.connection.execute("DELETE FROM quotes WHERE target = %s", (made[1],))
    assert world.refreeze().next is None
    world.thaw()
    assert world.connection.execute("SELECT target FROM quotes").fetchall() == [(made[2],)]


def test_a_deleted_row_stays_deleted_however_the_application_writes_values(world: World) -> None:
    world.connection.execute(
        "CREATE TABLE quotes (source uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE,"
        " target uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE, at timestamptz,"
        " weight float8, mark bytea, lasted interval,"
        " PRIMARY KEY (source, target, at, weight, mark, lasted))"
    )
    world.connection.execute("SELECT ops.guard_content()")
    made = world.fill(segments=8)
    for target in made[1:4]:
        world.connection.execute(
            "INSERT INTO quotes VALUES (%s, %s, '2017-03-26 01:30Z', 0.1::float8 + 0.2, '\\x00ff',"
            " '1 day 02:03:04')",
            (made[0], target),
        )
    world.archived_and_purged()
    world.thaw()
    with psycopg.connect(world.database.url, autocommit=True) as application:
        application.execute(
            "SET TimeZone = 'Europe/Berlin'; SET DateStyle = 'German';"
            " SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 0;"
            " SET bytea_output = 'escape'"
        )
        application.execute("DELETE FROM quotes WHERE target = %s", (made[1],))
        application.execute("UPDATE quotes SET target = %s WHERE target = %s", (made[5], made[2]))
        # It is made again by a session that writes values otherwise.
        application.execute("DELETE FROM quotes WHERE target = %s", (made[3],))
    world.connection.execute(
        "INSERT INTO quotes VALUES (%s, %s, '2017-03-26 01:30Z', 0.1::float8 + 0.2, '\\x00ff',"
        " '1 day 02:03:04')",
        (made[0], made[3]),
    )
    world.refreeze()
    world.archived_and_purged()
    world.thaw()
    targets = world.connection.execute("SELECT target FROM quotes").fetchall()
    assert {target for (target,) in targets} == {made[3], made[5]}
