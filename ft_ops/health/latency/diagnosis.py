"""Why a product query is slow: the first thing to look at, from the catalog and the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ft_ops.health.latency.plans import QueryPlan
from ft_ops.health.latency.queries import ProductQuery
from ft_ops.pg.beside_locks import beside_locks
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

Cause = Literal[
    "missing index", "stale statistics", "no pruning", "cold cache", "busy server", "costly step"
]

_LEAST_BYTES_FOR_STATISTICS = 128 << 10
_MOST_NAMES = 3
_COLD_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class LikelyCause:
    """One likely cause: what it is about, and what to do."""

    cause: Cause
    detail: str

    @property
    def words(self) -> str:
        return f"{self.cause}: {self.detail}"


def diagnose(
    connection: Connection, query: ProductQuery, plan: QueryPlan, measured_ms: float, now: datetime
) -> LikelyCause:
    """The first finding in the order in which they are worth looking at.

    ``measured_ms`` is what the query took when it missed its target. Reads the catalog as the
    operations role, which sees every table's statistics.
    """
    return next(_findings(connection, query, plan, measured_ms, now))


def _findings(
    connection: Connection, query: ProductQuery, plan: QueryPlan, measured_ms: float, now: datetime
) -> Iterator[LikelyCause]:
    yield from _missing_indexes(connection, query)
    yield from _poor_statistics(connection, query)
    yield from _no_pruning(connection, query, plan, now)
    if plan.was_run and plan.read_bytes >= _COLD_BYTES:
        yield LikelyCause(
            "cold cache",
            f"{plan.read_bytes / 1e6:.0f} MB came from disk: compare shared_buffers and the "
            "machine's memory with what is in use",
        )
    if plan.was_run and plan.root.total_ms is not None and plan.root.total_ms < measured_ms / 4:
        yield LikelyCause(
            "busy server",
            f"the same plan took {plan.root.total_ms:.1f} ms when it was explained and "
            f"{measured_ms:.1f} ms before: look at the asset connections for who waits for what",
        )
    costliest = plan.costliest
    removed = (
        f", which threw {costliest.removed_rows * (costliest.loops or 1):,.0f} rows away"
        if costliest.removed_rows
        else ""
    )
    yield LikelyCause("costly step", f"{costliest.words}, {costliest.own_ms:.1f} ms{removed}")


def _missing_indexes(connection: Connection, query: ProductQuery) -> Iterator[LikelyCause]:
    rows = connection.execute(
        statement("health/missing_indexes"),
        {
            "tables": [table for table, _ in query.needs],
            "columns": [column for _, column in query.needs],
        },
    ).fetchall()
    if rows:
        missing = ", ".join(
            f"{table}({column})" + (f" in {partitions} partitions" if partitions else "")
            for table, column, partitions in rows
        )
        yield LikelyCause(
            "missing index",
            f"no valid index leads with {missing}: see the check schema_drift for its name, and "
            "create it CONCURRENTLY",
        )


def _poor_statistics(connection: Connection, query: ProductQuery) -> Iterator[LikelyCause]:
    values = {"tables": list(query.tables), "least_bytes": _LEAST_BYTES_FOR_STATISTICS}
    rows = beside_locks(
        connection,
        f"statistics behind {query.name}",
        lambda locked: connection.execute(
            statement("health/poor_statistics"), {**values, "locked": locked.oids}
        ).fetchall(),
    )
    if rows:
        shown = ", ".join(
            f"{table} (none)" if changed is None else f"{table} ({changed:,} rows changed since)"
            for table, changed in rows[:_MOST_NAMES]
        )
        more = f" and {len(rows) - _MOST_NAMES} more" if len(rows) > _MOST_NAMES else ""
        yield LikelyCause("stale statistics", f"{shown}{more}: run ANALYZE on them")


def _no_pruning(
    connection: Connection, query: ProductQuery, plan: QueryPlan, now: datetime
) -> Iterator[LikelyCause]:
    if query.recent_days is None:
        return
    begin = now - timedelta(days=query.recent_days)
    partitions = partitions_of(connection, "content_segments")
    old = {p.name for p in partitions if p.upper is not None and p.upper <= begin}
    read = old & plan.partitions_read
    if read:
        yield LikelyCause(
            "no pruning",
            f"{len(read)} of {len(old)} partitions older than {query.recent_days} days were read: "
            "look at enable_partition_pruning and at the query's bound on created_at",
        )
