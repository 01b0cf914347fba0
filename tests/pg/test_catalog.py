"""A question about a table that somebody holds is answered, and not waited for."""

from __future__ import annotations

import time

import psycopg
import pytest

from ft_ops.errors import OpsError
from ft_ops.pg.catalog import (
    locked_relations,
    partition_sizes,
    partitions_of,
    relation_sizes,
)
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import saying_who_holds
from tests.fixtures.postgres import Database


def oid(connection: Connection, name: str) -> int:
    row = connection.execute("SELECT %s::regclass::oid", (name,)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def filled(connection: Connection) -> int:
    connection.execute(
        "CREATE TABLE notes (id int PRIMARY KEY, body text);"
        "INSERT INTO notes SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 2000) AS i"
    )
    connection.execute("VACUUM ANALYZE notes")
    return oid(connection, "notes")


def test_sizes_are_the_servers_own(connection: Connection, filled: int) -> None:
    row = connection.execute("SELECT pg_table_size(%s), pg_indexes_size(%s)", (filled, filled))
    size = relation_sizes(connection, [filled])[filled]
    assert (size.table_bytes, size.index_bytes) == row.fetchone()


@pytest.mark.parametrize("locked", ["notes", "notes_pkey"])
def test_a_locked_one_has_the_size_of_its_last_vacuum_at_once(
    database: Database, connection: Connection, filled: int, locked: str
) -> None:
    exact = relation_sizes(connection, [filled])[filled]
    with psycopg.connect(database.admin_url) as holder:
        if locked == "notes":
            holder.execute("LOCK TABLE notes")
        else:
            holder.execute("ALTER INDEX notes_pkey RENAME TO notes_key")
            holder.execute("REINDEX INDEX notes_key")
        began = time.monotonic()
        size = relation_sizes(connection, [filled])[filled]
        assert time.monotonic() - began < 1
    assert size.table_bytes == pytest.approx(exact.table_bytes, rel=0.1)
    assert size.index_bytes == pytest.approx(exact.index_bytes, rel=0.1)


def test_one_that_is_gone_is_left_out(connection: Connection, filled: int) -> None:
    connection.execute("DROP TABLE notes")
    assert relation_sizes(connection, [filled]) == {}


def test_a_locked_partition_keeps_no_other_from_being_measured(
    database: Database, connection: Connection
) -> None:
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("LOCK TABLE audit_log_2024_02")
        sizes = partition_sizes(connection, "audit_log")
        assert oid(connection, "audit_log_2024_02") in locked_relations(connection)
    assert sizes.keys() >= {"audit_log_2024_01", "audit_log_2024_02"}


def test_the_list_of_partitions_waits_for_none_of_them(
    database: Database, connection: Connection
) -> None:
    before = partitions_of(connection, "audit_log")
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("LOCK TABLE audit_log_2024_02 IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        assert partitions_of(connection, "audit_log") == before
        assert time.monotonic() - began < 1


def test_who_holds_a_table_is_said(database: Database, connection: Connection) -> None:
    connection.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(database.admin_url, application_name="a migration") as holder:
        holder.execute("LOCK TABLE users")
        with (
            pytest.raises(OpsError, match=rf"session {holder.info.backend_pid} \(postgres, a mig"),
            saying_who_holds(connection, "users"),
        ):
            connection.execute("SELECT FROM users")
