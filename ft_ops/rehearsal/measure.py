"""The product's queries before and after: their plans, what they read, how long they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ft_ops.health import (
    PRODUCT_QUERIES,
    Parameters,
    Percentiles,
    QueryPlan,
    explain,
    measure_latency,
)
from ft_ops.pg.connect import Connection

TIMEOUT_MS: Final = 30_000
BUDGET_SECONDS: Final = 10.0

WORSE_FACTOR: Final = 1.5
"""A plan that reads so many times the blocks is worse, if that is more than `WORSE_BLOCKS`."""
WORSE_BLOCKS: Final = 64

Change = Literal["same", "other", "better", "worse"]


@dataclass(frozen=True, slots=True)
class Measured:
    """One query: its plan's shape, the blocks that it read, and its latencies in milliseconds.

    The shape leaves numbers out: a sequence of nodes, each with its depth, relation and index.
    ``blocks`` is None where running it took too long to be explained.
    """

    shape: tuple[str, ...]
    blocks: int | None
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class QueryChange:
    """What became of one query. ``at_first``: before the statistics were made anew."""

    query: str
    before: Measured
    at_first: Measured
    after: Measured

    @property
    def plan(self) -> Change:
        return change(self.before, self.after)

    @property
    def plan_at_first(self) -> Change:
        return change(self.before, self.at_first)

    @property
    def words(self) -> str:
        """The nodes that are other ones, from and to."""
        gone = [node for node in self.before.shape if node not in self.after.shape]
        new = [node for node in self.after.shape if node not in self.before.shape]
        shown = (", ".join(node.strip() for node in side[:3]) for side in (gone, new))
        return " → ".join(side or "(none)" for side in shown) if gone or new else ""


def measure(
    connection: Connection, visitors: Sequence[Parameters], app_role: str
) -> dict[str, Measured]:
    """Run every product query for the same visitors, as the application does."""
    latencies = measure_latency(
        connection,
        visitors,
        app_role=app_role,
        timeout_ms=TIMEOUT_MS,
        budget_seconds=BUDGET_SECONDS,
    )
    found = {}
    for name, query in PRODUCT_QUERIES.items():
        times = Percentiles.of(latencies.times_ms[name])
        plan = explain(connection, query, visitors[0], app_role=app_role, timeout_ms=TIMEOUT_MS)
        found[name] = Measured(shape_of(plan), _blocks(plan), times.p50, times.p95)
    return found


def changes(
    before: Mapping[str, Measured], first: Mapping[str, Measured], after: Mapping[str, Measured]
) -> tuple[QueryChange, ...]:
    """One for each query."""
    return tuple(QueryChange(name, before[name], first[name], after[name]) for name in before)


def change(before: Measured, after: Measured) -> Change:
    """Whether a plan is another one, and whether it reads more for it.

    By blocks and not by time: a rehearsal's machine is not the live one, and may be busy.
    """
    if _is_worse(before.blocks, after.blocks):
        return "worse"
    if before.shape == after.shape:
        return "same"
    return "better" if _is_worse(after.blocks, before.blocks) else "other"


def shape_of(plan: QueryPlan) -> tuple[str, ...]:
    """The nodes of a plan in order, indented by their depth."""
    return tuple(f"{'  ' * depth}{node.words}" for depth, node in plan.root.with_depths())


def _is_worse(before: int | None, after: int | None) -> bool:
    if before is None or after is None:
        return after is None and before is not None
    return after > before * WORSE_FACTOR and after - before > WORSE_BLOCKS


def _blocks(plan: QueryPlan) -> int | None:
    return plan.root.hit_blocks + plan.root.read_blocks if plan.was_run else None
