"""How many rows a step takes: as many as it can keep locked without being noticed."""

from __future__ import annotations

import time

import psycopg
import pytest

from ft_ops.archive.move.portion import FEW, LIMIT_MS, Portion, TooLong
from ft_ops.pg.connect import Connection


@pytest.mark.parametrize(
    ("rows", "took", "following"),
    [(100, 0.030, 100), (100, 0.031, 96), (100, 0.010, 200), (100, 0.0, 200), (100, 3.0, 1)],
)
def test_the_next_step_takes_what_fits_and_no_more_than_twice_as_many(
    connection: Connection, rows: int, took: float, following: int
) -> None:
    moments = iter([0.0, 0.0, took])
    portion = Portion(2000, lambda: next(moments))
    portion.rows = rows
    with connection.transaction(), portion.locked(connection, rows):
        pass
    assert portion.rows == following


def test_no_step_is_larger_than_the_most_or_smaller_than_one_row() -> None:
    assert [Portion(most).rows for most in (1, FEW, FEW + 1)] == [1, FEW, FEW]
    portion = Portion(2000)
    assert portion.halve(3)
    assert portion.rows == 1
    assert not portion.halve(1)


def test_a_step_that_takes_too_long_is_given_up_but_not_when_it_is_of_one_row(
    connection: Connection,
) -> None:
    """And its COMMIT is not: it may wait for a replica."""
    portion, sleep = Portion(2000), f"SELECT pg_sleep({LIMIT_MS / 1000 + 0.02})"
    with pytest.raises(TooLong), connection.transaction(), portion.locked(connection, 2):
        connection.execute(sleep)
    with connection.transaction():
        with portion.locked(connection, 1):
            connection.execute(sleep)
        with portion.locked(connection, 2):
            pass
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


@pytest.mark.parametrize("before", [0.7, 1.1])
def test_the_statements_of_a_step_have_one_limit_together(
    connection: Connection, before: float
) -> None:
    """Each of them keeps what the others have locked."""

    def step() -> None:
        with connection.transaction(), Portion(2000).locked(connection, 2) as go_on:
            time.sleep(before * LIMIT_MS / 1000)
            go_on()
            connection.execute(f"SELECT pg_sleep({0.7 * LIMIT_MS / 1000})")

    with pytest.raises(TooLong):
        step()


def test_a_step_that_somebody_cancels_is_not_divided(connection: Connection) -> None:
    moments = iter([0.0, 0.0, LIMIT_MS / 1000 - 0.001])
    portion = Portion(2000, lambda: next(moments))
    with (
        pytest.raises(psycopg.errors.QueryCanceled),
        connection.transaction(),
        portion.locked(connection, 2),
    ):
        connection.execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(1)")
