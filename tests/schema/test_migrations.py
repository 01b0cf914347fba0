"""The runner keeps sqlx's ledger and refuses what contradicts it."""

from __future__ import annotations

import subprocess
import sys
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from ft_ops.errors import OpsError, Refused
from ft_ops.pg.audit import write_audit
from ft_ops.pg.catalog import table_exists
from ft_ops.pg.connect import connect
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.schema import (
    differences,
    load_migrations,
    migration_states,
    migration_to_revert,
    read_fingerprint,
    revert_migration,
    run_migrations,
)
from ft_ops.schema.fingerprint import Fingerprint
from tests.fixtures.postgres import Database, await_true

RUN = """
import sys
from pathlib import Path
from ft_ops.pg.connect import connect
from ft_ops.schema import load_migrations, run_migrations
with connect(sys.argv[1], application="tests") as connection:
    run_migrations(connection, load_migrations(Path(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("every", "newest"), [(8, 12), pytest.param(1, 0, marks=pytest.mark.chaos)]
)
def test_every_down_file_undoes_its_up_file(
    empty_database: Database, every: int, newest: int
) -> None:
    """Looked at after each eighth of the released ones, and after each of the ``newest``.

    What a down file leaves behind, or takes too much, is there at the next look, and at the last
    one there is nothing at all. In the long runs each is looked at.
    """
    migrations = load_migrations()
    looked_at = {
        count
        for count in range(len(migrations) + 1)
        if count % every == 0 or count >= len(migrations) - newest
    }
    before: dict[int, Fingerprint] = {}
    with connect(empty_database.url, application="tests") as connection:

        def look(count: int) -> None:
            if count in looked_at:
                found = read_fingerprint(connection)
                assert differences(found, before.setdefault(count, found)) == []

        look(0)
        for count in range(1, len(migrations) + 1):
            assert run_migrations(connection, migrations[:count]) == [migrations[count - 1]]
            look(count)
        for count in range(len(migrations), 0, -1):
            look(count)
            assert migration_to_revert(connection, migrations) == migrations[count - 1]
            assert revert_migration(connection, migrations) == migrations[count - 1]
        look(0)
        assert migration_to_revert(connection, migrations) is None
        assert revert_migration(connection, migrations) is None
        assert run_migrations(connection, migrations) == list(migrations)
        assert run_migrations(connection, migrations) == []


def test_a_revert_keeps_what_still_counts(database: Database) -> None:
    migrations = load_migrations()
    with connect(database.url, application="tests") as connection:
        write_audit(connection, "test.act", "users", {})
        connection.execute(
            "INSERT INTO ops.earlier_segments (segment_id, month, had)"
            " VALUES (gen_random_uuid(), '2017-03-01', '{}')"
        )
        while migrations[-1].version > 130:
            revert_migration(connection, migrations)
            migrations = migrations[:-1]
        with pytest.raises(OpsError, match="segments that a recovery brought back"):
            revert_migration(connection, migrations)
        connection.execute("DELETE FROM ops.earlier_segments")
        while migrations[-1].version > 2:
            revert_migration(connection, migrations)
            migrations = migrations[:-1]
        with pytest.raises(OpsError, match=r"partition audit_log_\d+_\d+ holds rows"):
            revert_migration(connection, migrations)
        assert connection.execute("SELECT count(*) FROM audit_log").fetchone() == (1,)


def test_a_modified_migration_is_refused_in_sqlx_words(database: Database) -> None:
    first, *others = load_migrations()
    modified = [replace(first, checksum=b"other"), *others]
    with (
        connect(database.url, application="tests") as connection,
        pytest.raises(Refused, match="migration 1 was previously applied but has been modified"),
    ):
        run_migrations(connection, modified)


def test_a_missing_migration_is_refused_in_sqlx_words(database: Database) -> None:
    with (
        connect(database.url, application="tests") as connection,
        pytest.raises(
            Refused,
            match="migration 1 was previously applied but is missing in the resolved migrations",
        ),
    ):
        run_migrations(connection, load_migrations()[1:])


def test_states_name_what_is_pending(empty_database: Database) -> None:
    migrations = load_migrations()
    with connect(empty_database.url, application="tests") as connection:
        run_migrations(connection, migrations[:2])
        states = [state.state for state in migration_states(connection, migrations)]
    assert states == ["applied", "applied"] + ["pending"] * (len(migrations) - 2)


def test_a_failing_migration_leaves_nothing_and_is_named(
    empty_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "1_good.sql").write_text("CREATE TABLE good ();")
    (tmp_path / "2_bad.sql").write_text("CREATE TABLE half (); SELECT 1 / 0;")
    with connect(empty_database.url, application="tests") as connection:
        with pytest.raises(OpsError, match="apply migration 2/bad: division by zero"):
            run_migrations(connection, load_migrations(tmp_path))
        assert not table_exists(connection, "half")
        (tmp_path / "2_bad.sql").write_text("CREATE TABLE whole ();")
        applied = run_migrations(connection, load_migrations(tmp_path))
    assert [migration.version for migration in applied] == [2]


def test_neither_way_of_a_migration_waits_for_a_lock_without_a_time_out(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes to a table that it waits for would wait, too."""
    (tmp_path / "1_table.up.sql").write_text("CREATE TABLE IF NOT EXISTS shared ();")
    (tmp_path / "1_table.down.sql").write_text("ALTER TABLE shared RENAME TO other;")
    (tmp_path / "2_column.up.sql").write_text("ALTER TABLE shared ADD COLUMN id integer;")
    first, second = load_migrations(tmp_path)
    twice = partial(with_escalating_lock_timeout, waits_ms=(20, 20), sleep=lambda seconds: None)
    monkeypatch.setattr("ft_ops.schema.migrations.with_escalating_lock_timeout", twice)
    with (
        connect(empty_database.url, application="tests") as connection,
        connect(empty_database.url, application="tests") as reader,
    ):
        run_migrations(connection, [first])
        connection.execute("SET statement_timeout = '2s'")
        with reader.transaction():
            reader.execute("SELECT FROM shared")
            named = rf"no lock within 2 attempts.*session {reader.info.backend_pid} "
            with pytest.raises(OpsError, match=f"apply migration 2/column: {named}"):
                run_migrations(connection, [first, second])
            with pytest.raises(OpsError, match=f"revert migration 1/table: {named}"):
                revert_migration(connection, [first])
        assert migration_to_revert(connection, [first]) == first
        assert revert_migration(connection, [first]) == first
        assert migration_to_revert(connection, [first]) is None
        assert table_exists(connection, "other")


def test_a_killed_runner_leaves_nothing_and_the_next_one_goes_on(
    empty_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "1_slow.sql").write_text("CREATE TABLE half (); SELECT pg_sleep(600);")
    runner = subprocess.Popen([sys.executable, "-c", RUN, empty_database.url, str(tmp_path)])
    with connect(empty_database.url, application="tests") as connection:
        await_true(
            connection,
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            " AND datname = current_database())",
        )
        runner.kill()
        runner.wait()
        (tmp_path / "1_slow.sql").write_text("CREATE TABLE whole ();")
        applied = run_migrations(connection, load_migrations(tmp_path))
        assert [migration.version for migration in applied] == [1]
        assert not table_exists(connection, "half")


def test_waiting_for_another_runner_ends(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_ops.schema.migrations.LOCK_WAIT_SECONDS", 1)
    with (
        connect(empty_database.url, application="tests") as other,
        connect(empty_database.url, application="tests") as connection,
        other.transaction(),
    ):
        key = 0x3D32AD9E * zlib.crc32(empty_database.name.encode())
        other.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
        holder = rf"session {other.info.backend_pid} \(ft_ops, ft-ops tests\)"
        with pytest.raises(OpsError, match=f"another migration has been at work for 1 s: {holder}"):
            run_migrations(connection, load_migrations())


@pytest.mark.parametrize("lock", ["pg_advisory_lock", "pg_advisory_lock_shared"])
def test_whoever_holds_the_migrations_lock_and_is_no_migration_is_named(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch, lock: LiteralString
) -> None:
    monkeypatch.setattr("ft_ops.schema.migrations.LOCK_WAIT_SECONDS", 1)
    with (
        psycopg.connect(empty_database.readonly_url, application_name="report") as other,
        connect(empty_database.url, application="tests") as connection,
    ):
        key = 0x3D32AD9E * zlib.crc32(empty_database.name.encode())
        other.execute(f"SELECT {lock}(%s)", (key,))
        with pytest.raises(OpsError, match="no run of the operations") as refused:
            run_migrations(connection, load_migrations())
        pid = other.info.backend_pid
        assert f"session {pid} (ft_readonly, report)" in refused.value.cause
        assert f"pg_terminate_backend({pid})" in refused.value.next_step
