"""`ft-ops` says what is wrong in one line and exits with 1; it never shows a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith("FT_")}
    return subprocess.run(
        [sys.executable, "-m", "ft_ops.cli", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env={**clean, **environment},
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "FT_DATABASE_URL: it is not set"),
        ("ft_ops:hunter2@host/db", "FT_DATABASE_URL: "),
        ("postgresql://ft_ops:hunter2@127.0.0.1:1/nowhere", "ft_ops@127.0.0.1:1/nowhere"),
    ],
)
def test_an_unusable_database_is_one_line(url: str, said: str) -> None:
    done = _run("migrate", "status", **({"FT_DATABASE_URL": url} if url else {}))
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert "Next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_an_invalid_setting_is_named(database: Database) -> None:
    done = _run("migrate", "status", FT_DATABASE_URL=database.url, FT_RETENTION_YEARS="seven")
    assert done.returncode == 1
    assert "FT_RETENTION_YEARS" in done.stderr


def test_migrations_run_and_are_listed(empty_database: Database) -> None:
    assert (
        "applied 1/initial schema"
        in _run("migrate", "run", FT_DATABASE_URL=empty_database.url).stdout
    )
    listed = _run("migrate", "status", FT_DATABASE_URL=empty_database.url).stdout
    assert "pending" not in listed


def test_holds_are_placed_listed_and_released(database: Database, connection: Connection) -> None:
    settings = {"FT_DATABASE_URL": database.url}
    placed = _run("hold", "add", "--month", "2017-03", "--reason", "a lawsuit", **settings)
    assert placed.stdout == "placed hold 1 on month 2017-03 (a lawsuit)\n"
    assert "month 2017-03" in _run("hold", "list", **settings).stdout
    assert _run("hold", "release", "1", "--reason", "settled", **settings).returncode == 0
    again = _run("hold", "release", "1", "--reason", "settled", **settings)
    assert again.returncode == 1
    assert "released before" in again.stderr
    audited = connection.execute("SELECT action FROM audit_log ORDER BY created_at").fetchall()
    assert audited == [("hold.add",), ("hold.release",)]


def test_an_unknown_month_is_named(database: Database) -> None:
    done = _run("hold", "add", "--month", "2017-13", "--reason", "x", FT_DATABASE_URL=database.url)
    assert done.returncode == 1
    assert "'2017-13'" in done.stderr
