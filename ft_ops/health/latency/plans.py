"""A query's plan as PostgreSQL explains it, and what it says of partitions, reads and costs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import RawCursor, sql
from pydantic import BaseModel, ConfigDict, Field

from ft_ops.health.latency.measure import as_application, become_visitor, statement_timeout
from ft_ops.health.latency.queries import Parameters, ProductQuery
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

_BLOCK_BYTES = 8192
_ARRAY_LITERAL = re.compile(r"'\{[^']*\}'")


class Node(BaseModel):
    """One node of a plan. Milliseconds and rows are those of one loop; None when never run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str = Field(alias="Node Type")
    relation: str | None = Field(default=None, alias="Relation Name")
    index: str | None = Field(default=None, alias="Index Name")
    function: str | None = Field(default=None, alias="Function Name")
    loops: float | None = Field(default=None, alias="Actual Loops")
    total_ms: float | None = Field(default=None, alias="Actual Total Time")
    removed_rows: float = Field(default=0, alias="Rows Removed by Filter")
    read_blocks: int = Field(default=0, alias="Shared Read Blocks")
    hit_blocks: int = Field(default=0, alias="Shared Hit Blocks")
    children: tuple[Node, ...] = Field(default=(), alias="Plans")

    def walk(self) -> Iterator[Node]:
        """This node and every node below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def with_depths(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """The same, each with how deep it is below this one."""
        yield depth, self
        for child in self.children:
            yield from child.with_depths(depth + 1)

    @property
    def own_ms(self) -> float:
        """Milliseconds spent in this node itself, over all loops."""
        return max(0.0, self._all_ms - sum(child._all_ms for child in self.children))

    @property
    def _all_ms(self) -> float:
        return (self.total_ms or 0.0) * (self.loops or 0.0)

    @property
    def was_run(self) -> bool:
        return self.loops is None or self.loops > 0

    @property
    def words(self) -> str:
        subject = self.relation or self.function
        where = f" on {subject}" if subject else ""
        by = f" by {self.index}" if self.index else ""
        return f"{self.kind}{where}{by}"


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query's plan. ``was_run`` is false when running it took too long to be explained.

    ``document`` is EXPLAIN's own JSON, without the tags that were searched for.
    """

    root: Node
    was_run: bool
    document: str

    @property
    def partitions_read(self) -> frozenset[str]:
        """The partitions of content_segments that a scan was run on, or would be."""
        return frozenset(
            node.relation
            for node in self.root.walk()
            if node.relation and node.relation.startswith("content_segments_") and node.was_run
        )

    @property
    def read_bytes(self) -> int:
        """What was not in the server's cache."""
        return self.root.read_blocks * _BLOCK_BYTES

    @property
    def costliest(self) -> Node:
        return max(self.root.walk(), key=lambda node: node.own_ms)


def explain(
    connection: Connection,
    query: ProductQuery,
    visitor: Parameters,
    *,
    app_role: str,
    timeout_ms: int,
) -> QueryPlan:
    """The plan of ``query`` as the application gets it, with what running it cost.

    Falls back to the plan alone when running it takes longer than ``timeout_ms``.
    """
    with as_application(connection, app_role):
        become_visitor(connection, visitor)
        try:
            with statement_timeout(connection, timeout_ms):
                return _explained(connection, query, visitor, run=True)
        except psycopg.errors.QueryCanceled:
            return _explained(connection, query, visitor, run=False)


def _explained(
    connection: Connection, query: ProductQuery, visitor: Parameters, *, run: bool
) -> QueryPlan:
    options = "ANALYZE, BUFFERS, SETTINGS, FORMAT JSON" if run else "SETTINGS, FORMAT JSON"
    explained = sql.SQL("EXPLAIN ({}) {}").format(
        sql.SQL(options), statement(f"queries/{query.name}")
    )
    with RawCursor(connection) as cursor:
        document = one_row(cursor.execute(explained, query.arguments(visitor)))[0]
    return QueryPlan(
        root=Node.model_validate(document[0]["Plan"]),
        was_run=run,
        document=_ARRAY_LITERAL.sub("'{…}'", json.dumps(document, indent=1)),
    )
