"""`ops.index_rebuilds`: each rebuild's intent, what came of it, and the leftovers that are ours.

A rebuild that is interrupted leaves an invalid index. Whether it is ours to drop is a matter of
proof: it has the definition of an index that we began to rebuild, a name that REINDEX derives from
that index's, and was not there when we began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.maintenance.indexes.candidates import RebuildCandidate
from ft_ops.maintenance.indexes.leftovers import (
    IndexNow,
    InvalidIndex,
    TableIdentity,
    index_now,
    invalid_indexes,
    leftovers_of,
)
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

State = Literal["begun", "rebuilt", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild in the journal. Leftovers are oids; foreign ones were there before it began."""

    id: int
    schema: str
    table_name: str
    table_oid: int | None
    name: str
    definition: str
    file_node: int
    state: State
    foreign_leftovers: Sequence[int]
    leftovers: Sequence[int]

    @property
    def table(self) -> TableIdentity:
        """The table of the index, whatever its name is by now."""
        return TableIdentity(self.table_oid, self.schema, self.table_name)


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured during a rebuild: seconds, and the canary's milliseconds.

    ``waited_seconds`` are those in which it waited for other sessions.
    """

    seconds: float | None = None
    waited_seconds: float | None = None
    quiet_canary_ms: float | None = None
    worst_canary_ms: float | None = None


NOT_MEASURED: Final = Measures()


@dataclass(frozen=True, slots=True)
class SettledRebuild:
    """What became of a rebuild by the catalog's word; ``bytes_after`` of one that succeeded.

    It stays "begun" while its table is locked: whose the invalid indexes are can't be told then.
    """

    state: State
    bytes_after: int | None
    error: str | None


def begin(
    connection: Connection, candidate: RebuildCandidate, now: IndexNow, run_id: str
) -> Rebuild:
    """Write down the intent to rebuild an index."""
    index = candidate.index
    table = TableIdentity(now.table_oid, index.schema, index.table_name)
    before = leftovers_of(invalid_indexes(connection), table, index.name, now.definition)
    foreign = [leftover.oid for leftover in before]
    row = one_row(
        connection.execute(
            statement("maintenance/begin_rebuild"),
            {
                "schema": index.schema,
                "table_name": index.table_name,
                "name": index.name,
                "definition": now.definition,
                "file_node": now.file_node,
                "foreign_leftovers": foreign,
                "bytes_before": now.bytes,
                "bytes_estimated": candidate.estimate.estimated_bytes,
                "work_bytes": candidate.work_bytes,
                "predicted_seconds": candidate.predicted_seconds,
                "run_id": run_id,
                "table_oid": now.table_oid,
            },
        )
    )
    return Rebuild(
        id=row[0],
        schema=index.schema,
        table_name=index.table_name,
        table_oid=now.table_oid,
        name=index.name,
        definition=now.definition,
        file_node=now.file_node,
        state="begun",
        foreign_leftovers=foreign,
        leftovers=(),
    )


def settle(
    connection: Connection,
    rebuild: Rebuild,
    *,
    error: str | None,
    stopped: bool = False,
    measures: Measures = NOT_MEASURED,
) -> SettledRebuild:
    """Find out from the catalog what a rebuild did, and record that with its leftovers.

    An error doesn't mean that it failed: cancelled in its last phases, a rebuild has succeeded and
    has only not removed the index that it replaced.
    """
    now = index_now(connection, rebuild.schema, rebuild.name)
    invalid = invalid_indexes(connection)
    locked = [index.locked for index in invalid if index.locked and rebuild.table.has(index)]
    if locked:
        return SettledRebuild(
            "begun", None, f"what became of it is seen by the next run: {locked[0]}"
        )
    if now is not None and now.is_valid and now.file_node != rebuild.file_node:
        settled = SettledRebuild("rebuilt", now.bytes, None)
    else:
        settled = SettledRebuild("stopped" if stopped else "failed", None, error)
    leftovers = [
        leftover.oid
        for leftover in leftovers_of(invalid, rebuild.table, rebuild.name, rebuild.definition)
        if leftover.oid not in rebuild.foreign_leftovers
    ]
    with connection.transaction():
        connection.execute(
            statement("maintenance/finish_rebuild"),
            {
                "id": rebuild.id,
                "state": settled.state,
                "leftovers": leftovers,
                "bytes_after": settled.bytes_after,
                "seconds": measures.seconds,
                "waited_seconds": measures.waited_seconds,
                "quiet_canary_ms": measures.quiet_canary_ms,
                "worst_canary_ms": measures.worst_canary_ms,
                "error": settled.error,
            },
        )
        if now is not None and settled.state == "rebuilt":
            _record_truth(connection, rebuild, now)
    return settled


def settle_unfinished(connection: Connection, log: Callable[[str], None]) -> None:
    """Settle what runs that died have begun. The caller must be the only one at work."""
    for rebuild in _unfinished(connection):
        if rebuild.state == "begun":
            settled = settle(connection, rebuild, error="the run that began it died")
            told = f"an earlier run's rebuild of {rebuild.schema}.{rebuild.name}: {settled.state}"
            log(f"{told}, {settled.error}" if settled.error else told)


def drop_leftovers(
    connection: Connection, log: Callable[[str], None]
) -> list[tuple[InvalidIndex, str]]:
    """Drop the leftovers that the journal proves to be ours.

    Returns those that are still there, with the reason: most often a transaction that the drop
    would have to wait for.
    """
    remaining: list[tuple[InvalidIndex, str]] = []
    for rebuild in _unfinished(connection):
        if rebuild.state == "begun":
            continue
        present = {index.oid: index for index in invalid_indexes(connection)}
        locked = [
            (present[oid], present[oid].locked)
            for oid in rebuild.leftovers
            if oid in present and present[oid].locked
        ]
        if locked:
            remaining += locked
            continue
        # An oid alone proves nothing: it may have been given out again.
        ours = leftovers_of(
            [present[oid] for oid in rebuild.leftovers if oid in present],
            rebuild.table,
            rebuild.name,
            rebuild.definition,
        )
        kept = []
        for leftover in ours:
            problem = _drop(connection, leftover)
            if problem is None:
                log(f"dropped the leftover {leftover.qualified_name}, {leftover.bytes:,} bytes")
            else:
                kept.append((leftover, problem))
                log(f"could not drop the leftover {leftover.qualified_name}: {problem}")
        connection.execute(
            statement("maintenance/record_leftovers"),
            {"id": rebuild.id, "leftovers": [leftover.oid for leftover, _ in kept]},
        )
        remaining += kept
    return remaining


def _drop(connection: Connection, leftover: InvalidIndex) -> str | None:
    if leftover.is_busy:
        return "an index of its table is being built"
    name = sql.Identifier(leftover.schema, leftover.name)
    try:
        connection.execute(statement("maintenance/drop_leftover").format(index=name))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
        return str(error).strip()
    except psycopg.errors.DependentObjectsStillExist as error:
        return f"something depends on it, and it was not dropped: {str(error).strip()}"
    except psycopg.Error as error:
        # Whoever forbids it, its new owner or an event trigger, keeps none of the others here.
        if connection.broken:
            raise
        return f"it could not be dropped: {str(error).strip()}"
    return None


def _unfinished(connection: Connection) -> list[Rebuild]:
    with connection.cursor(row_factory=class_row(Rebuild)) as cursor:
        return cursor.execute(statement("maintenance/unfinished_rebuilds")).fetchall()


def _record_truth(connection: Connection, rebuild: Rebuild, now: IndexNow) -> None:
    """The new size: beside the estimate that promised it, and as the new file's own best."""
    connection.execute(
        statement("maintenance/record_truth"),
        {
            "schema": rebuild.schema,
            "name": rebuild.name,
            "file_node": rebuild.file_node,
            "bytes": now.bytes,
        },
    )
    rows = max(0, round(now.tuples))
    connection.execute(
        statement("maintenance/record_estimate"),
        {
            "schema": rebuild.schema,
            "name": rebuild.name,
            "file_node": now.file_node,
            "method": "size ratio",
            "is_certain": True,
            "bytes": now.bytes,
            "rows": rows,
            "estimated_bytes": now.bytes,
            "bytes_per_row": now.bytes / rows if rows else None,
            "problem": None,
        },
    )
    write_audit(
        connection,
        "maintenance.reindex",
        rebuild.table_name,
        {"index": f"{rebuild.schema}.{rebuild.name}", "bytes": now.bytes},
    )
