"""Whether the application suffers is decided in one place, by one query and one rule."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ft_ops.pg.application import Canary, others_at_work, replica_lag
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import sql_root, statement
from tests.fixtures.postgres import Database


def canary(milliseconds: Iterable[float], limit_ms: float, samples: int = 5) -> Canary:
    """One whose query takes so many milliseconds, one time after the other."""
    moments = [0.0]
    for each in milliseconds:
        moments += [moments[-1], moments[-1] + each / 1000]
    return Canary(limit_ms, samples, clock=iter(moments[1:]).__next__)


@pytest.mark.parametrize(
    ("usual", "later", "suffers"),
    [
        (1.0, 49.0, False),
        (1.0, 51.0, True),
        (20.0, 99.0, False),
        (20.0, 101.0, True),
    ],
)
def test_it_suffers_above_the_limit_and_above_five_times_what_is_usual(
    connection: Connection, usual: float, later: float, suffers: bool
) -> None:
    bird = canary([usual] * 8 + [later], limit_ms=50.0, samples=1)
    bird.settle_in(connection)
    assert bird.suffers(connection) == suffers
    assert bird.has_suffered == suffers
    assert bird.worst_ms == pytest.approx(later)


def test_two_slow_looks_among_five_are_none(connection: Connection) -> None:
    bird = canary([1.0] * 8 + [900.0, 900.0, 1.0, 1.0, 1.0, 900.0, 900.0, 900.0], limit_ms=50.0)
    bird.settle_in(connection)
    assert [bird.suffers(connection) for _ in range(8)] == [False] * 7 + [True]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_table_that_is_locked_away_from_the_application_is_felt_and_raises_nothing(
    database: Database, in_transaction: bool
) -> None:
    settings = {"lock_timeout": "100ms"}
    with (
        connect(database.url, application="tests", settings=settings) as ours,
        psycopg.connect(database.admin_url) as other,
    ):
        bird = Canary(50.0, samples=1)
        bird.settle_in(ours)
        bird.usual_ms = 1.0
        other.execute("LOCK TABLE threads IN ACCESS EXCLUSIVE MODE")
        if in_transaction:
            with ours.transaction():
                assert bird.suffers(ours)
                assert ours.execute("SELECT 1").fetchone() == (1,)
        else:
            assert bird.suffers(ours)


def test_the_canary_reads_some_pages_of_the_application_s_tables(connection: Connection) -> None:
    """It is asked hundreds of times in a purge: a sort of all threads would be felt itself."""
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute(
        sql.SQL("EXPLAIN (COSTS off) ") + statement("pg/canary"),
        {"somewhere": "00000000-0000-0000-0000-000000000000"},
    )
    lines = "\n".join(row[0] for row in plan)
    assert "Index Scan using threads_pkey" in lines or "Index Only Scan using threads_pkey" in lines
    assert "Sort" not in lines
    assert "Seq Scan" not in lines


def test_without_replicas_nobody_is_behind(connection: Connection) -> None:
    lag = replica_lag(connection)
    assert (lag.seconds, lag.bytes) == (0.0, 0)


def test_the_operations_own_sessions_are_nobody_else(
    connection: Connection, database: Database
) -> None:
    assert not others_at_work(connection)
    with (
        connect(database.app_url, application="tests") as unprivileged,
        psycopg.connect(database.url),
    ):
        assert others_at_work(unprivileged), "whom it can't see may be at work"


def test_no_room_asks_in_its_own_way() -> None:
    """Of replicas there is one statement by which something is decided."""
    asking = [
        f"{path.parent.name}/{path.name}"
        for path in sorted(Path(sql_root()).glob("*/*.sql"))
        if "pg_stat_replication" in path.read_text(encoding="utf-8")
    ]
    # The health and the rehearsal show each replica by name; they decide nothing by it. The advice
    # on indexes asks whether there is one that may scan what nobody scans here.
    assert asking == [
        "health/connections.sql",
        "maintenance/advice.sql",
        "pg/application.sql",
        "rehearsal/live.sql",
    ]
