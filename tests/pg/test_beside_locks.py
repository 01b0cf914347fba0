"""Statements about many tables wait for none of them, and say which they could not open."""

from __future__ import annotations

import threading

import psycopg
import pytest

from ft_ops.errors import OpsError
from ft_ops.pg.beside_locks import (
    ACCESS_EXCLUSIVE,
    ANY_BUT_READING_AND_WRITING,
    Locked,
    beside_locks,
    lockers,
)
from ft_ops.pg.catalog import locked_relations
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database, await_true

JUNE = "content_segments_2024_06"


def oid(connection: Connection, table: str) -> int:
    row = connection.execute("SELECT %s::regclass::oid::bigint", (table,)).fetchone()
    assert row is not None
    return int(row[0])


def test_nothing_is_locked_on_most_days_and_reading_or_writing_locks_nothing(
    connection: Connection, database: Database
) -> None:
    with connect(database.url, application="somebody") as other, other.transaction():
        other.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        assert locked_relations(connection) == {}
        assert Locked().by(oid(connection, "users")) == ""


def test_who_holds_a_table_to_himself_is_named_and_so_is_who_waits_for_it(
    connection: Connection, database: Database
) -> None:
    with (
        connect(database.url, application="a migration") as holder,
        connect(database.url, application="a reader") as reader,
        connect(database.url, application="another migration") as waiter,
    ):
        with holder.transaction():
            holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            [found] = locked_relations(connection).values()
            assert found.name == "public.users"
            assert "(ft_ops, ft-ops a migration), idle in transaction, since" in str(found)
        with reader.transaction():
            reader.execute("SELECT FROM families")
            waiting = threading.Thread(
                target=lambda: waiter.execute("ALTER TABLE families ADD nickname text")
            )
            waiting.start()
            await_true(connection, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            [found] = locked_relations(connection).values()
            assert "another migration" in str(found.holder)
        waiting.join()


def test_a_lock_that_comes_between_is_seen_by_the_next_look(
    connection: Connection, database: Database
) -> None:
    seen: list[list[int]] = []
    with connect(database.url, application="somebody") as other, other.transaction():

        def read(locked: Locked) -> str:
            seen.append(locked.oids)
            if len(seen) == 1:
                other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            if not locked.oids:
                connection.execute("SELECT pg_relation_size('users')")
            return "read"

        assert beside_locks(connection, "sizes", read) == "read"
    assert seen == [[], [oid(connection, "users")]]


def test_locks_that_never_end_are_an_error(connection: Connection) -> None:
    def never(locked: Locked) -> None:
        raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")

    with pytest.raises(OpsError, match="sizes: tables were locked and freed faster"):
        beside_locks(connection, "sizes", never)


def test_lockers_are_told_by_mode_and_a_parents_by_its_partitions(
    connection: Connection, database: Database
) -> None:
    parent = oid(connection, "content_segments")
    with connect(database.url, application="somebody") as other, other.transaction():
        other.execute(f"LOCK TABLE ONLY {JUNE} IN SHARE MODE")
        assert lockers(connection, parent, ACCESS_EXCLUSIVE) == []
        [found] = lockers(connection, parent, ANY_BUT_READING_AND_WRITING)
        assert found.application == "ft-ops somebody"
        assert not found.is_autovacuum


def test_a_prepared_transaction_is_a_locker_by_its_name(
    connection: Connection, database: Database
) -> None:
    row = connection.execute("SHOW max_prepared_transactions").fetchone()
    if row == ("0",):
        pytest.skip("this server prepares no transactions")
    with psycopg.connect(database.admin_url) as other:
        other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        other.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        [found] = lockers(connection, oid(connection, "users"), ACCESS_EXCLUSIVE)
        assert str(found).startswith("prepared transaction forgotten (")
        assert list(locked_relations(connection)) == [oid(connection, "users")]
    finally:
        with psycopg.connect(database.admin_url, autocommit=True) as other:
            other.execute("ROLLBACK PREPARED 'forgotten'")
