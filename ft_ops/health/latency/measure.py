"""How long the product queries take on the live database, with parameters taken from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from statistics import median
from uuid import UUID

import numpy as np
import psycopg
from psycopg import RawCursor, sql
from psycopg.rows import dict_row

from ft_ops.errors import OpsError
from ft_ops.health.latency.queries import PRODUCT_QUERIES, Parameters, ProductQuery, Screen
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

_ROUND_TRIPS = 20


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; with few samples p99 is little more than the largest."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> Percentiles:
        p50, p95, p99 = np.percentile(values_ms, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99))


@dataclass(frozen=True, slots=True)
class Latencies:
    """What was measured: element i of every query's ``times_ms`` belongs to ``parameters[i]``.

    An execution that ran into its time-out counts as that long, and in ``timeouts``.
    ``role`` is the one that the queries ran as.
    """

    parameters: tuple[Parameters, ...]
    times_ms: Mapping[str, tuple[float, ...]]
    timeouts: Mapping[str, int]
    round_trip_ms: float
    role: str

    @property
    def samples(self) -> int:
        return len(self.parameters)

    def screen_times(self, screen: Screen) -> list[float]:
        """What each visitor waited for this screen, milliseconds."""
        return [
            sum(times)
            for times in zip(*(self.times_ms[name] for name in screen.queries), strict=True)
        ]

    def is_cut(self, screen: Screen) -> bool:
        """Whether so many executions were given up that nobody knows the screen's p95."""
        given_up = sum(self.timeouts.get(name, 0) for name in screen.queries)
        return 20 * given_up > self.samples

    def slowest(self, query: str) -> Parameters:
        """The parameters with which ``query`` took longest."""
        times = self.times_ms[query]
        return self.parameters[times.index(max(times))]


def sample_parameters(connection: Connection, number: int, dice: Random) -> list[Parameters]:
    """At most ``number`` random visitors of the database; none when it has no content at all.

    Content without a visitor who could see it is an OpsError.
    """
    probes = [UUID(int=dice.getrandbits(128)) for _ in range(number)]
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("health/sample_parameters"), {"probes": probes}).fetchall()
    if not rows and _has_content(connection):
        raise OpsError(
            "query latency",
            cause="no family with an active member has any content",
            next_step="look at family_members: nobody sees what the database holds",
        )
    return [
        Parameters(r["thread_id"], r["family_id"], r["user_id"], tuple(r["tags"])) for r in rows
    ]


def _has_content(connection: Connection) -> bool:
    return connection.execute(statement("health/has_content")).fetchone() == (True,)


@contextmanager
def as_application(connection: Connection, role: str) -> Iterator[str]:
    """Become the application's role for a block where that is granted; yields who we are then.

    Only as that role do row level security's policies take their share of the time.
    """
    row = connection.execute(statement("health/may_become"), {"role": role}).fetchone()
    if row != (True,):
        yield connection.info.user
        return
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    connection.execute("SET row_security = on")
    try:
        yield role
    finally:
        if not connection.closed and not connection.broken:
            connection.execute("SET row_security = off")
            connection.execute("RESET ROLE")


@contextmanager
def statement_timeout(connection: Connection, milliseconds: int) -> Iterator[None]:
    """Set the session's statement_timeout for a block, and put the old one back."""
    row = one_row(connection.execute("SELECT current_setting('statement_timeout')"))
    connection.execute("SELECT set_config('statement_timeout', %s, false)", (f"{milliseconds}ms",))
    try:
        yield
    finally:
        if not connection.closed and not connection.broken:
            connection.execute("SELECT set_config('statement_timeout', %s, false)", (row[0],))


def measure_latency(
    connection: Connection,
    parameters: Sequence[Parameters],
    *,
    app_role: str,
    timeout_ms: int,
    budget_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Latencies:
    """Run every product query for each of ``parameters``, in turn, until the budget is spent.

    Statements are prepared, as the application's driver does, so that the planner has the same
    choice between custom and generic plans. Round robin: what disturbs the server disturbs all.
    Each execution is given up after ``timeout_ms``. ``connection`` should be read-only.
    """
    times: dict[str, list[float]] = {name: [] for name in PRODUCT_QUERIES}
    timeouts = dict.fromkeys(PRODUCT_QUERIES, 0)
    with (
        as_application(connection, app_role) as role,
        statement_timeout(connection, timeout_ms),
    ):
        round_trip = median(_round_trip_ms(connection, clock) for _ in range(_ROUND_TRIPS))
        # The first execution of each reads catalogs and prepares; no visitor waits for that.
        for query in PRODUCT_QUERIES.values():
            _execution_ms(connection, query, parameters[0], timeout_ms, clock)
        began = clock()
        measured = 0
        for visitor in parameters:
            if measured and clock() - began > budget_seconds:
                break
            for query in PRODUCT_QUERIES.values():
                took = _execution_ms(connection, query, visitor, timeout_ms, clock)
                timeouts[query.name] += took is None
                times[query.name].append(timeout_ms if took is None else took)
            measured += 1
    return Latencies(
        parameters=tuple(parameters[:measured]),
        times_ms={name: tuple(values) for name, values in times.items()},
        timeouts=timeouts,
        round_trip_ms=round_trip,
        role=role,
    )


def become_visitor(connection: Connection, visitor: Parameters) -> None:
    """Say to the policies who is asking, as the application does."""
    connection.execute(
        "SELECT set_config('app.current_user_id', %s, false)", (str(visitor.user_id),)
    )


def _execution_ms(
    connection: Connection,
    query: ProductQuery,
    visitor: Parameters,
    timeout_ms: int,
    clock: Callable[[], float],
) -> float | None:
    """Milliseconds until every row has arrived, None when the time-out ended it."""
    become_visitor(connection, visitor)
    with RawCursor(connection) as cursor:
        started = clock()
        try:
            cursor.execute(
                statement(f"queries/{query.name}"), query.arguments(visitor), prepare=True
            ).fetchall()
        except psycopg.errors.QueryCanceled:
            return None
        took = (clock() - started) * 1000
    return min(took, float(timeout_ms))


def _round_trip_ms(connection: Connection, clock: Callable[[], float]) -> float:
    started = clock()
    connection.execute("SELECT 1").fetchone()
    return (clock() - started) * 1000
