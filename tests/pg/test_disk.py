"""Everything that the server keeps on its disks is found, and what fills them is named."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.disk import HeldLog, LogFiles, ServerFiles, Tablespace, server_files, volumes
from ft_ops.pg.sqlfiles import statement
from tests.fixtures.postgres import Database

GB = 10**9
FILES = ServerFiles(
    databases={"familytales": 50 * GB, "other": 20 * GB},
    tablespaces=(
        Tablespace("pg_default", 60 * GB, 5 * GB),
        Tablespace("fast", 15 * GB, 0),
        Tablespace("pg_global", GB, 0),
    ),
    log=LogFiles(10 * GB, 1, ()),
)


def test_all_databases_and_the_log_are_measured(connection: Connection) -> None:
    found = server_files(connection)
    row = connection.execute(
        "SELECT pg_database_size(current_database()), current_database(),"
        " (SELECT count(*) FROM pg_database)"
    ).fetchone()
    assert row is not None
    ours, name, count = row
    assert found.databases[name] == ours
    assert len(found.databases) >= min(count, 3)
    assert found.bytes > sum(found.databases.values())
    assert found.log.bytes >= 16 << 20


@pytest.mark.parametrize(
    "name",
    ["pg/database_sizes", "pg/tablespace_sizes", "backups/server_facts", "rehearsal/tablespaces"],
)
def test_what_is_dropped_while_it_is_measured_is_left_out(
    connection: Connection, database: Database, name: str
) -> None:
    """A database for tests comes and goes: no backup may fail because of that."""
    name_of_it = f"passing_{connection.info.dbname}"
    passing = sql.Identifier(name_of_it)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(passing))
        admin.execute("SET allow_in_place_tablespaces = on")
        admin.execute(sql.SQL("CREATE TABLESPACE {} LOCATION ''").format(passing))
        with connection.transaction():
            # What this snapshot has seen is what a statement has seen that is at work.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SELECT")
            admin.execute(sql.SQL("DROP DATABASE {}").format(passing))
            admin.execute(sql.SQL("DROP TABLESPACE {}").format(passing))
            found = connection.execute(statement(name)).fetchall()
    assert name == "rehearsal/tablespaces" or found
    assert name_of_it not in str(found)


def test_a_forgotten_slot_and_its_log_are_named(connection: Connection, database: Database) -> None:
    name = f"forgotten_{connection.info.dbname}"
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))
        try:
            admin.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
            admin.execute("SELECT pg_switch_wal()")
            held = {slot.name: slot for slot in server_files(connection).log.held}
        finally:
            admin.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    assert held[name].bytes > 1_000_000
    assert not held[name].is_active


def test_one_volume_holds_everything_and_says_what_fills_it() -> None:
    log = LogFiles(40 * GB, 300, (HeldLog("forgotten", False, 39 * GB), HeldLog("kept", True, GB)))
    [main] = volumes(replace(FILES, log=log), 200 * GB, {})
    assert main.used_bytes == 116 * GB
    assert main.share == 0.58
    assert str(log.held[0]) == "slot forgotten holds back 39.0 GB, and nobody reads it"
    assert main.words == (
        "database familytales 50.0 GB",
        f"log 40.0 GB, {log.held[0]}, 300 of its files wait for the archive",
        "database other 20.0 GB",
        "of that, in tablespace fast 15.0 GB",
        "temporary files 5.0 GB",
    )


def test_changes_that_a_slot_has_spilled_are_on_the_volume(
    connection: Connection, database: Database
) -> None:
    name = f"slow_{connection.info.dbname}"
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_create_physical_replication_slot(%s)", (name,))
        try:
            row = admin.execute("SELECT current_setting('data_directory')").fetchone()
            assert row is not None
            folder = Path(row[0]) / "pg_replslot" / name
            if not os.access(folder, os.W_OK):
                pytest.skip("the server's files are out of reach")
            before = server_files(connection)
            (folder / "xid-7-lsn-0-1000000.spill").write_bytes(b"x" * 5_000_000)
            found = server_files(connection)
        finally:
            admin.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    assert found.spilled_bytes == before.spilled_bytes + 5_000_000
    assert found.bytes >= found.log.bytes + found.spilled_bytes
    [main] = volumes(replace(FILES, spilled_bytes=30 * GB), 200 * GB, {})
    assert main.used_bytes == 116 * GB
    assert "changes that wait for the readers of slots 30.0 GB" in main.words


def test_a_tablespace_and_the_log_may_have_volumes_of_their_own() -> None:
    """One that is named and not there takes nothing from the others."""
    main, fast, log = volumes(FILES, 100 * GB, {"fast": 16 * GB, "pg_wal": 12 * GB, "gone": GB})
    assert (main.name, main.used_bytes) == ("server", 61 * GB)
    assert (fast.used_bytes, fast.size_bytes) == (15 * GB, 16 * GB)
    assert (log.name, log.used_bytes) == ("pg_wal", 10 * GB)
