"""What no archive can hold is refused when it is written; what is there already is named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import ARCHIVED, HOT, archived_name
from ft_ops.archive.month.source import hot_source
from ft_ops.archive.move.detach import detach_month
from ft_ops.archive.store.export import _with_what_arrow_keeps
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect
from ft_ops.schema import load_migrations, migration_states, revert_migration, run_migrations
from tests.archive.world import MONTH, World, no_sleep

MIGRATIONS = load_migrations()
BEFORE = [m for m in MIGRATIONS if m.version <= 12]
ODD_ARRAYS = ("ARRAY[ARRAY['a','b'],ARRAY['c','d']]", "'[0:1]={a,b}'::text[]", "'[2:2]={a}'")
LARGEST = 134_217_728
"""Bytes of text that one row may have."""

REFUSED: dict[str, list[tuple[str, str, str | None]]] = {
    HOT: [
        *(("photo_urls", value, "content_segments_photo_urls_shape") for value in ODD_ARRAYS),
        ("edited_at", "'10000-01-01Z'", "content_segments_dates"),
        ("deleted_at", "'294276-12-31Z'", "content_segments_dates"),
        ("text_content", f"repeat('x', {LARGEST + 1})", "content_segments_size"),
        (
            "metadata",
            "jsonb_build_object('n', (SELECT jsonb_agg(1e131000) FROM generate_series(1, 1000)))",
            "content_segments_size",
        ),
    ],
    "photo_narrations": [
        ("created_at", "'10000-01-01Z'", "photo_narrations_dates"),
        ("updated_at", "'10000-01-01Z'", None),
        ("narration_text", f"repeat('x', {LARGEST + 1})", "photo_narrations_size"),
    ],
    "content_tags": [("created_at", "'10000-01-01Z'", "content_tags_dates")],
    "content_links": [("created_at", "'10000-01-01Z'", "content_links_dates")],
}

TAKEN = [
    ("photo_urls", "'{}'"),
    ("photo_urls", "NULL"),
    ("photo_urls", "ARRAY[NULL, 'x', NULL]"),
    ("edited_at", "'9999-12-31 23:59:59.999999Z'"),
    ("edited_at", "'0044-03-15Z BC'"),
    ("text_content", f"repeat('x', {LARGEST})"),
    ("metadata", """'{"a": 1e30000, "b": 1.10}'"""),
]


def edit(world: World, table: str, column: str, value: str) -> None:
    world.connection.execute(
        sql.SQL("UPDATE {} SET {} = {}").format(
            sql.Identifier(table),
            sql.Identifier(column),
            sql.SQL(value),
        )
    )


def test_an_export_reads_no_row_to_know_what_the_constraints_exclude(world: World) -> None:
    world.fill(segments=4)

    def rows_read() -> int:
        [[read]] = world.connection.execute(
            "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))"
            " FROM pg_stat_xact_user_tables WHERE schemaname = 'public'"
        ).fetchall()
        return int(read)

    with world.connection.transaction():
        content = read_content(world.connection)
        source = hot_source(content, MONTH)
        before = rows_read()
        assert _with_what_arrow_keeps(world.connection, content, source) == content
        assert rows_read() == before
        world.connection.execute("ALTER TABLE content_tags DROP CONSTRAINT content_tags_dates")
        _with_what_arrow_keeps(world.connection, content, source)
        assert rows_read() > before


def test_it_is_refused_by_name(world: World) -> None:
    world.fill(segments=4)
    cases = [(table, *case) for table, cases in REFUSED.items() for case in cases]
    # Where none is named, a trigger writes the column, whatever is asked for.
    said = [(*case[:3], _refusal(world, *case[:3])) for case in cases]
    assert said == cases


def test_what_an_archive_holds_is_taken(world: World) -> None:
    world.month(MONTH)
    for column, value in TAKEN:
        # Of its own, for the size of all that it has together is limited.
        world.segment()
        assert _refusal(world, HOT, column, value) is None, (column, value)
        world.connection.execute("DELETE FROM content_segments")


def _refusal(world: World, table: str, column: str, value: str) -> str | None:
    """The constraint that refuses a value; None when it is taken."""
    try:
        edit(world, table, column, value)
    except psycopg.errors.CheckViolation as refusal:
        return refusal.diag.constraint_name
    return None


@pytest.mark.parametrize("where", ["partition", "archived", "alone"])
def test_it_is_refused_wherever_a_month_is(world: World, where: str) -> None:
    world.fill(segments=4)
    table = f"{HOT}_{MONTH.suffix}"
    if where != "partition":
        world.archive()
        table = archived_name(MONTH)
    if where == "alone":
        detach_month(world.connection, ARCHIVED, MONTH, log=lambda line: None, sleep=no_sleep)
    with pytest.raises(psycopg.errors.CheckViolation):
        edit(world, table, "photo_urls", ODD_ARRAYS[0])


def test_rows_that_are_there_already_stop_the_upgrade_by_name_and_nothing_is_changed(
    world: World,
) -> None:
    with _as_of_12(world):
        made = world.fill(segments=8)
        for segment, value in zip(made, (*ODD_ARRAYS, None), strict=False):
            _set(world.connection, segment, "photo_urls", value or "'{}'")
        _set(world.connection, made[4], "edited_at", "'20000-01-01Z'")
        with pytest.raises(OpsError) as error:
            run_migrations(world.connection, MIGRATIONS)
        said = str(error.value)
        assert "3 of content_segments break content_segments_photo_urls_shape" in said
        assert "1 of content_segments break content_segments_dates" in said
        assert all(str(segment) in said for segment in (*made[:3], made[4]))
        assert str(made[3]) not in said
        assert "ARRAY(SELECT unnest(photo_urls))" in said
        pending = [
            s.version
            for s in migration_states(world.connection, MIGRATIONS)
            if s.state == "pending"
        ]
        assert pending[0] == 13
        # Nothing refuses the application meanwhile: such a row can still be viewed.
        world.connection.execute("UPDATE content_segments SET view_count = view_count + 1")
        world.connection.execute(
            "UPDATE content_segments SET photo_urls = ARRAY(SELECT unnest(photo_urls)),"
            " edited_at = NULL"
        )
        run_migrations(world.connection, MIGRATIONS)
    assert world.archive().state == "frozen"


def test_a_row_that_came_in_between_is_named_by_the_proof(world: World) -> None:
    with _as_of_12(world):
        run_migrations(world.connection, [m for m in MIGRATIONS if m.version <= 13])
        made = world.fill(segments=4)
        world.connection.execute(
            "ALTER TABLE content_segments DROP CONSTRAINT content_segments_dates"
        )
        _set(world.connection, made[0], "edited_at", "'20000-01-01Z'")
        world.connection.execute(
            "ALTER TABLE content_segments ADD CONSTRAINT content_segments_dates"
            " CHECK (edited_at < '10000-01-01Z') NOT VALID"
        )
        with pytest.raises(OpsError, match=f"break content_segments_dates: {made[0]}"):
            run_migrations(world.connection, MIGRATIONS)


def test_a_month_that_stands_alone_gets_them_and_can_be_attached_again(world: World) -> None:
    names = {
        "parent": sql.Identifier(HOT),
        "alone": sql.Identifier(f"{HOT}_{MONTH.suffix}"),
        "lower": sql.Literal(MONTH.start.isoformat()),
        "upper": sql.Literal(MONTH.end.isoformat()),
    }
    with _as_of_12(world):
        world.fill()
        world.connection.execute(
            sql.SQL("ALTER TABLE {parent} DETACH PARTITION {alone}").format(**names)
        )
        run_migrations(world.connection, MIGRATIONS)
    world.connection.execute(
        sql.SQL(
            "ALTER TABLE {parent} ATTACH PARTITION {alone} FOR VALUES FROM ({lower}) TO ({upper})"
        ).format(**names)
    )
    assert world.count(HOT) == 40


def test_nobody_waits_long_for_the_upgrade(world: World) -> None:
    """A reader keeps the lock from it; whoever comes behind waits no longer than 100 ms."""
    with _as_of_12(world):
        made = world.fill(segments=4)
        stop = threading.Event()
        refused: list[str] = []

        def write() -> None:
            with psycopg.connect(world.database.url, autocommit=True) as writer:
                writer.execute("SET lock_timeout = '1s'")
                while not stop.is_set():
                    try:
                        _set(writer, made[0], "text_content", "'again'")
                    except psycopg.errors.LockNotAvailable as error:
                        refused.append(str(error))

        writing = threading.Thread(target=write)
        with psycopg.connect(world.database.url) as reader:
            reader.execute("SELECT count(*) FROM content_segments")
            writing.start()
            upgrading = threading.Thread(target=_upgrade, args=(world.database.url,))
            upgrading.start()
            upgrading.join(2)
            assert upgrading.is_alive()
        upgrading.join(60)
        stop.set()
        writing.join()
    assert refused == []
    states = migration_states(world.connection, MIGRATIONS)
    assert {state.state for state in states} == {"applied"}


def _upgrade(url: str) -> None:
    with connect(url, application="upgrade") as connection:
        run_migrations(connection, MIGRATIONS)


@contextmanager
def _as_of_12(world: World) -> Iterator[None]:
    """The schema before these constraints; what the block leaves pending stays so."""
    for migration in reversed(MIGRATIONS):
        if migration.version > 12:
            assert revert_migration(world.connection, MIGRATIONS) == migration
    yield


def _set(connection: Connection, segment: UUID, column: str, value: str) -> None:
    connection.execute(
        sql.SQL("UPDATE content_segments SET {} = {} WHERE id = %s").format(
            sql.Identifier(column),
            sql.SQL(value),
        ),
        (segment,),
    )
