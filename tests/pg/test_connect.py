"""What may be said of a connection string, and how the way to its server is protected."""

from __future__ import annotations

import socket
import threading

import psycopg
import pytest
from psycopg import conninfo, sql

from ft_ops.errors import OpsError
from ft_ops.pg.connect import connect, connection_string, describe
from tests.fixtures.postgres import Database

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ft_ops:1/{SECRET}@localhost/familytales",
        f"postgresql://ft_ops:1%40/{SECRET}@localhost/familytales",
        f"postgresql://ft_ops:1@{SECRET}@localhost/familytales",
        f"postgresql://ft_ops:1:{SECRET}@localhost:port/familytales",
        f"ft_ops:{SECRET}@localhost/familytales",
        f"host = localhost password = {SECRET} port = x = y",
    ],
)
def test_a_password_that_cuts_its_url_is_never_told(url: str) -> None:
    assert describe(url) == "(unreadable URL)"
    with pytest.raises(OpsError) as refused:
        connection_string(url, application="tests")
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ft_ops:1%402%2F3@localhost:5432/tales", "ft_ops@localhost:5432/tales"),
        ("postgresql://ft_ops@/tales?host=/run/postgresql", "ft_ops@/run/postgresql/tales"),
        ("postgresql://ft_ops@localhost/tales%40home", "ft_ops@localhost/tales@home"),
        ("host=localhost user=ft_ops password=a@b dbname=tales", "ft_ops@localhost/tales"),
    ],
)
def test_a_url_that_can_be_read_is_told_without_its_password(url: str, told: str) -> None:
    assert describe(url) == told


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://ft_ops@db.example.org/tales", "require"),
        ("postgresql://ft_ops@db.example.org/tales?sslmode=prefer", "require"),
        ("postgresql://ft_ops@db.example.org/tales?sslmode=allow", "require"),
        ("postgresql://ft_ops@127.0.0.1,db.example.org/tales", "require"),
        ("host=localhost hostaddr=192.0.2.1 dbname=tales", "require"),
        ("postgresql://ft_ops@db.example.org/tales?sslmode=verify-full", "verify-full"),
        ("postgresql://ft_ops@db.example.org/tales?sslrootcert=system", None),
        # Somebody's decision.
        ("postgresql://ft_ops@db.example.org/tales?sslmode=disable", "disable"),
        ("postgresql://ft_ops@127.0.0.1,localhost,[::1]/tales", None),
        ("postgresql://ft_ops@/tales?host=/run/postgresql", None),
        ("postgresql:///tales", None),
    ],
)
def test_the_way_to_another_machine_is_encrypted_unless_somebody_said_otherwise(
    url: str, mode: str | None
) -> None:
    parts = conninfo.conninfo_to_dict(connection_string(url, application="tests"))
    assert parts.get("sslmode") == mode


def test_what_the_environment_demands_of_tls_is_not_weakened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    target = connection_string("postgresql://ft_ops@db.example.org/tales", application="tests")
    assert "sslmode" not in conninfo.conninfo_to_dict(target)


def test_a_server_that_offers_no_tls_is_refused_and_the_exception_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_without_tls, args=(server,), daemon=True).start()
        # An address that leads here, and is not known to.
        url = f"postgresql://ft_ops@0.0.0.0:{server.getsockname()[1]}/tales"
        with pytest.raises(OpsError, match="SSL") as refused:
            connect(url, application="tests")
    assert "sslmode=disable" in refused.value.next_step


def _answer_without_tls(server: socket.socket) -> None:
    client, _ = server.accept()
    with client:
        client.recv(8)
        client.sendall(b"N")
        client.recv(1)


def test_a_server_without_a_free_connection_is_not_taken_for_one_that_does_not_run(
    database: Database,
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 0").format(sql.Identifier(database.name))
        )
    with pytest.raises(OpsError, match="too many connections for database") as refused:
        connect(database.url, application="tests")
    assert refused.value.next_step.startswith("see who holds its connections in pg_stat_activity")
