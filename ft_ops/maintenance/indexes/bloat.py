"""How large every index would be after a rebuild: estimated, stored, and compared with the truth.

btrees go through `probe`. Other access methods are compared with the best they ever were, which
says little: those estimates are marked as uncertain.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.maintenance.indexes.btree import PAGE
from ft_ops.maintenance.indexes.catalog import IndexState, catalog_sql, index_states
from ft_ops.maintenance.indexes.probe import probe_btree
from ft_ops.maintenance.owners import way_in
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

Method = Literal["range probe", "density", "size ratio", "unknown"]

_CERTAIN_ERROR: Final = 0.05
_MOST_UNSURE: Final = 0.02
_TOO_SMALL: Final = 8 * PAGE
"""Up to this size an index is not probed, and taken for as small as it can be."""
_SMALLEST: Final = 2 * PAGE
"""A metapage and a root: such an index can't become smaller."""
_MOST_MOVED_ON: Final = 1.5
"""Times as many rows as were counted: beyond that the counters alone are no evidence."""
_WORTH_A_LINE: Final = 2**20
"""Smaller indexes are counted in the log, not named: a line is an event in Dagster's storage."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One index as it is, and the bytes that a rebuild would leave; None when they are unknown.

    ``rows`` is what the index holds by the statistics. ``problem`` says why nothing is known.
    """

    index: IndexState
    method: Method
    rows: int
    estimated_bytes: int | None
    is_certain: bool = True
    problem: str | None = None

    @property
    def reclaimable_bytes(self) -> int:
        """What a rebuild would free, 0 when nothing is known or it would even grow."""
        return (
            0 if self.estimated_bytes is None else max(0, self.index.bytes - self.estimated_bytes)
        )

    @property
    def reclaimable_share(self) -> float:
        return self.reclaimable_bytes / self.index.bytes if self.index.bytes else 0.0


@dataclass(frozen=True, slots=True)
class EstimateError:
    """How far an estimate was from the size after the rebuild, in points of the size before."""

    schema: str
    name: str
    method: Method
    points: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The errors of past estimates, newest first, with their median and 90th percentile."""

    errors: tuple[EstimateError, ...]

    @property
    def median(self) -> float:
        return statistics.median(error.points for error in self.errors) if self.errors else 0.0

    @property
    def p90(self) -> float:
        points = sorted(error.points for error in self.errors)
        return points[int(len(points) * 0.9)] if points else 0.0


@dataclass(frozen=True, slots=True)
class _Stored:
    schema: str
    name: str
    file_node: int
    method: Method
    is_certain: bool
    bytes: int
    rows: int
    estimated_bytes: int | None
    least_bytes_per_row: float | None
    estimated_at: datetime


def estimate_indexes(
    connection: Connection,
    *,
    chance: random.Random,
    store: bool,
    named: Collection[str] = (),
    log: Callable[[str], None] = lambda line: None,
) -> list[Estimate]:
    """An estimate for every valid index, or those ``named``; the most reclaimable bytes first.

    An index keeps its last estimate while its size and row count have not moved and no vacuum has
    emptied any of its pages: shorter values move neither. With
    ``store``, new estimates are recorded, and those of vanished files forgotten.
    """
    stored = _stored(connection)
    estimates: list[Estimate] = []
    for index in index_states(connection):
        if index.is_partitioned or index.is_temporary or not index.is_valid:
            continue
        if named and index.names.isdisjoint(named):
            continue
        known = stored.get((index.schema, index.name, index.file_node))
        estimate = _reused(index, known)
        if estimate is None:
            estimate = _estimate(connection, index, known, chance)
            if index.bytes >= _WORTH_A_LINE:
                log(_line(estimate))
            if store:
                record_estimate(connection, estimate)
        is_known = index.is_counted and _moved_on(index) <= _MOST_MOVED_ON
        if not is_known and index.bytes > _SMALLEST:
            estimate = replace(estimate, is_certain=False)
        estimates.append(estimate)
    log(f"estimated {len(estimates)} indexes")
    if store:
        connection.execute(statement("maintenance/forget_estimates"))
    return sorted(estimates, key=lambda e: (-e.reclaimable_bytes, e.index.qualified_name))


def confirm(connection: Connection, estimate: Estimate, chance: random.Random) -> Estimate:
    """Estimate a btree again, from rows that are counted, before a rebuild relies on it.

    Where pgstattuple may be used, the bytes in use on the leaf pages set an upper bound: a rebuild
    copies no more than that.
    """
    index = estimate.index
    if index.method != "btree":
        return estimate
    query = statement("maintenance/count_rows").format(
        table=index.table, predicate=catalog_sql(index.predicate or "true")
    )
    counted = one_row(connection.execute(query, {}))
    confirmed = _probed(connection, index, int(counted[0]), chance)
    bound = _density_bytes(connection, index)
    if bound is not None and (confirmed.estimated_bytes or index.bytes) > bound:
        confirmed = Estimate(index, "density", confirmed.rows, bound)
    record_estimate(connection, confirmed)
    return confirmed


def record_estimate(connection: Connection, estimate: Estimate) -> None:
    """Store an estimate beside the index's physical file."""
    index = estimate.index
    connection.execute(
        statement("maintenance/record_estimate"),
        {
            "schema": index.schema,
            "name": index.name,
            "file_node": index.file_node,
            "method": estimate.method,
            "is_certain": estimate.is_certain,
            "bytes": index.bytes,
            "rows": estimate.rows,
            "estimated_bytes": estimate.estimated_bytes,
            "bytes_per_row": index.bytes / estimate.rows if estimate.rows else None,
            "problem": estimate.problem,
        },
    )


def accuracy(connection: Connection) -> Accuracy:
    """How good the estimates of the last 200 rebuilds were."""
    with connection.cursor(row_factory=class_row(EstimateError)) as cursor:
        return Accuracy(tuple(cursor.execute(statement("maintenance/estimate_errors")).fetchall()))


def refuse_unreachable(estimates: Iterable[Estimate]) -> None:
    """OpsError when an index is out of this role's reach: it names what lets it in."""
    unreachable = [e.index for e in estimates if not e.index.may_maintain]
    if unreachable:
        ways = {
            way_in(index.schema, index.table_name, index.owner, is_superusers=index.is_superusers)
            for index in unreachable
        }
        raise OpsError(
            f"indexes {', '.join(index.qualified_name for index in unreachable)}",
            cause="the operations role is no member of the owner's role and can't rebuild them",
            next_step=f"as an administrator: {'; '.join(sorted(ways))}",
        )


def _reused(index: IndexState, known: _Stored | None) -> Estimate | None:
    if known is None or known.method == "unknown":
        return None
    if (known.bytes, known.rows) != (index.bytes, _rows(index)):
        return None
    if index.vacuumed_at is not None and index.vacuumed_at > known.estimated_at:
        return None
    return Estimate(index, known.method, known.rows, known.estimated_bytes, known.is_certain)


def _estimate(
    connection: Connection, index: IndexState, known: _Stored | None, chance: random.Random
) -> Estimate:
    if index.locked:
        return _unknown(index, index.locked)
    rows = _rows(index)
    if rows is None:
        return _unknown(index, "its rows were never counted: analyze its table")
    # Nothing to gain that is worth the probe's round trips, thousands of times over.
    if index.bytes <= _TOO_SMALL:
        certain = index.bytes <= _SMALLEST
        return Estimate(index, "range probe", rows, index.bytes, is_certain=certain)
    if index.method == "btree":
        return _probed(connection, index, rows, chance)
    if rows == 0:
        return _unknown(index, "it holds no rows to compare with")
    least = index.bytes / rows
    if known is not None and known.least_bytes_per_row is not None:
        least = min(least, known.least_bytes_per_row)
    return Estimate(index, "size ratio", rows, int(least * rows), is_certain=False)


def _probed(
    connection: Connection, index: IndexState, rows: int, chance: random.Random
) -> Estimate:
    try:
        probe = probe_btree(connection, index, rows, chance)
    except psycopg.Error as error:
        if connection.broken:
            raise
        bound = _density_bytes(connection, index)
        if bound is not None:
            return Estimate(index, "density", rows, bound)
        return _unknown(index, f"its table can't be sampled: {str(error).splitlines()[0]}")
    if probe is None:
        empty = 2 * PAGE
        return Estimate(index, "range probe", rows, empty, is_certain=rows == 0)
    certain = probe.relative_error <= _CERTAIN_ERROR and probe.unsure_share <= _MOST_UNSURE
    return Estimate(index, "range probe", rows, probe.bytes, is_certain=certain)


def _unknown(index: IndexState, problem: str) -> Estimate:
    return Estimate(index, "unknown", 0, None, is_certain=False, problem=problem)


def _rows(index: IndexState) -> int | None:
    """The rows that the index holds: what was last counted, moved on by the table's counters."""
    if index.tuples > 0 and index.table_tuples > 0:
        return round(index.tuples * _moved_on(index))
    if index.predicate is None:
        return index.live_rows
    return 0 if index.live_rows == 0 else None


def _moved_on(index: IndexState) -> float:
    """How many times as many rows the counters say there are as were counted last.

    They run double where a session reports its inserts after the vacuum that saw them.
    """
    if index.table_tuples <= 0 or index.live_rows <= 0:
        return 1.0
    return index.live_rows / index.table_tuples


def _density_bytes(connection: Connection, index: IndexState) -> int | None:
    """What the leaf pages hold, packed anew without merging anything; None without pgstattuple."""
    schema = extension_schema(connection, "pgstattuple", "pgstatindex")
    if schema is None or index.method != "btree":
        return None
    query = statement("maintenance/leaf_bytes").format(
        function=sql.Identifier(schema, "pgstatindex")
    )
    row = connection.execute(query, {"page": PAGE, "index": index.oid}).fetchone()
    if row is None or row[0] is None:
        return None
    # Internal pages are about one in a hundred; one page more is the metapage.
    return int(row[0] * 100 / index.fillfactor * 1.01) + PAGE


def extension_schema(connection: Connection, extension: str, function: str) -> str | None:
    """Where an extension's function over an index lives; None when this role can't execute it."""
    row = connection.execute(
        statement("maintenance/extension_schema"), {"extension": extension, "function": function}
    ).fetchone()
    return None if row is None else str(row[0])


def _stored(connection: Connection) -> dict[tuple[str, str, int], _Stored]:
    with connection.cursor(row_factory=class_row(_Stored)) as cursor:
        rows: Iterable[_Stored] = cursor.execute(statement("maintenance/stored_estimates"))
        return {(row.schema, row.name, row.file_node): row for row in rows}


def _line(estimate: Estimate) -> str:
    name = estimate.index.qualified_name
    if estimate.estimated_bytes is None:
        return f"{name}: unknown, {estimate.problem}"
    return f"{name}: {estimate.reclaimable_share:.0%} of {estimate.index.bytes:,} bytes reclaimable"
