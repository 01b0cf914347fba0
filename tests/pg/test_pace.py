"""Work beside the application: how much of the time it takes, and whom it counts as at work."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import conninfo

from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import Pace, pace_beside_others
from tests.fixtures.postgres import Database, await_true


@pytest.mark.parametrize(
    ("share", "others", "rests"),
    [
        (0.5, True, [3.0, 3.0]),
        (0.25, True, [9.0, 9.0]),
        (0.1, True, [10.0, 10.0]),
        (1.0, True, []),
        (0.5, False, []),
    ],
)
def test_beside_others_it_rests_as_long_as_its_share_asks(
    share: float, others: bool, rests: list[float]
) -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(lambda: others, share, sleep, lambda: now[0])
    for _ in pace.steps(["a batch", "another"]):
        now[0] += 3.0
    assert slept == rests


@pytest.mark.parametrize(("later", "rests"), [(59.9, False), (60.0, True)])
def test_who_waited_for_a_lock_with_a_short_time_out_is_given_a_minute_to_come_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, later: float, rests: bool
) -> None:
    now, waits = [0.0], iter([True, False])
    monkeypatch.setattr("ft_ops.pg.pace.others_at_work", lambda _: True)
    monkeypatch.setattr("ft_ops.pg.pace.is_waited_for", lambda *_: next(waits))
    pace = pace_beside_others(connection, 0.5, holders=[1], clock=lambda: now[0])
    assert not pace.is_beside_others()
    now[0] = later
    assert pace.is_beside_others() is rests


def test_the_operations_own_sessions_are_nobody_else(connection: Connection) -> None:
    assert not pace_beside_others(connection, 0.5).is_beside_others()


@pytest.mark.parametrize("role", ["ft_app", "ft_readonly"])
def test_a_session_is_at_work_until_a_second_after_its_last_statement(
    connection: Connection, database: Database, role: str
) -> None:
    pace = pace_beside_others(connection, 0.5)
    with psycopg.connect(conninfo.make_conninfo(database.admin_url, user=role)) as other:
        other.execute("SELECT 1")
        assert pace.is_beside_others()
        other.rollback()
        assert pace.is_beside_others()
        await_true(
            connection,
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = %s AND state = 'idle'"
            " AND datname = current_database()"
            " AND state_change < clock_timestamp() - interval '1 second'",
            role,
        )
        assert not pace.is_beside_others()
