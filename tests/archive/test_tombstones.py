"""An erased id is not used again, and nobody takes another id."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ft_ops.pg.connect import connect
from ft_ops.schema import load_migrations, revert_migration, run_migrations
from tests.archive.test_identity import dying
from tests.archive.world import MONTH, World

ROWS = {
    "users": "INSERT INTO users (id, clerk_id, email) VALUES (%(id)s, 'another', 'a@example.org')",
    "families": "INSERT INTO families (id, name, owner_id) VALUES (%(id)s, 'g', %(user)s)",
    "memory_books": "INSERT INTO memory_books (id, family_id, title, created_by)"
    " VALUES (%(id)s, %(family)s, 'b', %(user)s)",
    "threads": "INSERT INTO threads (id, memory_book_id, started_by)"
    " VALUES (%(id)s, %(book)s, %(user)s)",
}


def erase(world: World, table: str) -> UUID:
    """Delete something of the first family; its id."""
    subject = {
        "users": world.users[1],
        "families": world.families[0],
        "memory_books": _book(world, 0),
        "threads": world.threads[0],
    }[table]
    world.connection.execute(
        sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(table)), (subject,)
    )
    return subject


def _book(world: World, thread: int) -> UUID:
    row = world.connection.execute(
        "SELECT memory_book_id FROM threads WHERE id = %s", (world.threads[thread],)
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


@pytest.mark.parametrize("table", ROWS)
def test_an_erased_id_is_refused_and_another_one_taken(world: World, table: str) -> None:
    values = {"user": world.users[2], "family": world.families[1], "book": _book(world, 2)}
    erased = erase(world, table)
    with pytest.raises(psycopg.errors.RestrictViolation, match=f"{erased} was erased") as error:
        world.connection.execute(ROWS[table], {"id": erased, **values})
    assert error.value.diag.constraint_name == "erased_id"
    world.connection.execute(ROWS[table], {"id": uuid4(), **values})


def test_a_family_leaves_a_tombstone_for_each_of_its_books_and_threads(world: World) -> None:
    book = _book(world, 0)
    erase(world, "families")
    found = world.connection.execute("SELECT kind, id FROM ops.erasures").fetchall()
    assert set(found) == {
        ("family", world.families[0]),
        ("book", book),
        ("thread", world.threads[0]),
        ("thread", world.threads[1]),
    }


@pytest.mark.usefixtures("begins_archived")
def test_an_erased_segments_id_is_refused_by_every_way_in(world: World) -> None:
    made = world.filled
    world.connection.execute("DELETE FROM archived_content_segments WHERE id = %s", (made[0],))
    world.month(MONTH.plus(1))
    insert = (
        "INSERT INTO {} (id, thread_id, user_id, content_type, sequence_number, created_at)"
        " VALUES (%s, %s, %s, 'text', 900, '2017-04-02Z')"
    )
    for table in ("content_segments", "content_segments_2017_04"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="was erased"):
            world.connection.execute(
                sql.SQL(insert).format(sql.Identifier(table)),
                (made[0], world.threads[0], world.users[0]),
            )
    assert world.count("content_segments") == 0


def test_on_conflict_do_nothing_still_does_nothing(world: World) -> None:
    for table, conflict in (("users", world.users[0]), ("threads", world.threads[0])):
        done = world.connection.execute(
            sql.SQL(
                "INSERT INTO {t} SELECT * FROM {t} WHERE id = %s ON CONFLICT DO NOTHING"
            ).format(t=sql.Identifier(table)),
            (conflict,),
        )
        assert done.rowcount == 0


def test_an_insert_that_waited_for_the_delete_finds_the_tombstone(world: World) -> None:
    """It asks after it got the id, so the deletion that it waited for is committed by then."""
    thread, refused = world.threads[0], []
    with psycopg.connect(world.database.url) as deleter:
        deleter.execute("DELETE FROM threads WHERE id = %s", (thread,))

        def insert() -> None:
            with connect(world.database.url, application="tests") as connection:
                try:
                    connection.execute(
                        ROWS["threads"],
                        {"id": thread, "book": _book(world, 2), "user": world.users[2]},
                    )
                except psycopg.errors.RestrictViolation as error:
                    refused.append(error.diag.constraint_name)

        inserting = threading.Thread(target=insert)
        inserting.start()
        inserting.join(0.5)
        assert inserting.is_alive()
        deleter.commit()
        inserting.join()
    assert refused == ["erased_id"]


@pytest.mark.parametrize("table", ROWS)
def test_nobody_takes_another_id(world: World, table: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="cannot change"):
        world.connection.execute(
            sql.SQL("UPDATE {} SET id = gen_random_uuid()").format(sql.Identifier(table))
        )
    world.connection.execute(sql.SQL("UPDATE {} SET id = id").format(sql.Identifier(table)))


def test_an_id_that_was_in_use_again_before_is_told_apart(world: World) -> None:
    """By what was written before the tombstone, and after it: the living thread loses nothing."""
    migrations = load_migrations()
    while migrations[-1].version > 11:
        revert_migration(world.connection, migrations)
        migrations = migrations[:-1]
    erased, gone = world.threads[0], world.threads[1]
    world.connection.execute("DELETE FROM threads WHERE id = ANY (%s)", ([erased, gone],))
    world.connection.execute(
        ROWS["threads"], {"id": erased, "book": _book(world, 2), "user": world.users[2]}
    )
    run_migrations(world.connection, load_migrations())
    found = world.connection.execute(
        "SELECT id, used_again FROM ops.erasures WHERE kind = 'thread'"
    ).fetchall()
    assert set(found) == {(erased, True), (gone, False)}


@pytest.mark.usefixtures("begins_archived")
def test_what_is_deleted_from_a_month_that_stands_alone_does_not_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.filled
    world.verified_backup()
    with dying(monkeypatch, "purge.purge.remove_content"):
        world.purge()
    world.connection.execute(
        "DELETE FROM archived_content_segments_2017_03 WHERE id = %s", (made[2],)
    )
    world.purge()
    assert world.thaw().left_out == {"segments: segment erased": 1}
