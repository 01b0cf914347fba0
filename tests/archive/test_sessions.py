"""What an export holds for others stays until they are done."""

from __future__ import annotations

import time
from types import MappingProxyType

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.store.export import _exported_snapshot
from ft_ops.pg import connect as connecting
from ft_ops.pg.connect import Connection
from ft_ops.pg.session import SESSION
from tests.fixtures.postgres import Database


def test_a_snapshot_is_held_for_longer_than_the_idle_time_out(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export reads for hours what a session holds that does nothing else."""
    short = {**SESSION, "idle_in_transaction_session_timeout": "200ms"}
    monkeypatch.setattr(connecting, "SESSION", MappingProxyType(short))
    with _exported_snapshot(database.url, connection) as snapshot:
        time.sleep(0.6)
        with psycopg.connect(database.url) as reader:
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            shared = sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot.name))
            reader.execute(shared)
            assert reader.execute("SELECT count(*) FROM users").fetchone() == (0,)
