"""Which tables need a vacuum or an analysis, by the server's own counters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.maintenance.indexes.btree import PAGE
from ft_ops.maintenance.tables.limits import with_settings
from ft_ops.months import Month
from ft_ops.pg.beside_locks import Locked, beside_locks
from ft_ops.pg.connect import Connection

MAIN_TABLES: Final = frozenset({"users", "families", "family_members", "memory_books", "threads"})
"""Looked after every week however little has changed in them, like the partitions of the current
and the previous month."""

LEAST_VISIBLE_SHARE: Final = 0.95
FREEZE_SHARE: Final = 0.5
"""Of autovacuum_freeze_max_age: from there on a table is frozen before autovacuum has to."""


@dataclass(frozen=True, slots=True)
class TableState:
    """One table by catalog and counters. Triggers are autovacuum's own, in rows.

    ``freeze_share`` and ``multixact_share`` are the ages of its oldest transaction and multixact
    ids as shares of the age at which autovacuum freezes by force, which are its limits. Bounds are
    those of a partition by time, None of any other table. ``is_servers`` is a catalog or an
    extension's. ``locked`` says who has the table to himself, and is empty on most days; ``bytes``
    is an old figure then.
    """

    oid: int
    schema: str
    name: str
    is_parent: bool
    file_node: int
    parent_name: str
    lower_bound: datetime | None
    upper_bound: datetime | None
    owner: str
    is_superusers: bool
    is_servers: bool
    is_shared: bool
    may_vacuum: bool
    pages: int
    visible_pages: int
    bytes: int
    live_rows: int
    dead_rows: int
    dead_toast_rows: int
    inserted_rows: int
    modified_rows: int
    changes: int
    vacuum_trigger: float
    toast_trigger: float
    insert_trigger: float | None
    analyze_trigger: float
    freeze_limit: float
    multixact_limit: float
    freeze_share: float
    multixact_share: float
    last_vacuum: datetime | None
    last_analyze: datetime | None
    locked: str = ""

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def age_share(self) -> float:
        """How near its oldest ids are to being frozen by force; 1 is there."""
        return max(self.freeze_share, self.multixact_share)

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class MaintenancePlan:
    """What one table needs, and why; ``reasons`` is empty when it needs nothing.

    An urgent freeze leaves the indexes as they are.
    """

    table: TableState
    vacuum: bool
    freeze: bool
    analyze: bool
    reasons: tuple[str, ...]
    is_urgent: bool = False


def table_states(connection: Connection) -> list[TableState]:
    """Every table, partitioned parents first, the server's own included. Waits for none of them."""
    return _states(connection, None)


def table_state(connection: Connection, oid: int) -> TableState | None:
    """One table as it is now, None when it is gone."""
    return next(iter(_states(connection, oid)), None)


def plan_tables(
    states: Iterable[TableState], named: Iterable[str], now: datetime
) -> list[MaintenancePlan]:
    """A plan for each table, the most urgent first; with names, for these alone.

    A name is that of a table in public, or qualified. A named table is vacuumed and analysed
    whatever its counters say, even a catalog; without names, the server's own tables are its
    autovacuum's. OpsError for a name that no table has.
    """
    everything = list(states)
    if chosen := frozenset(named):
        return [_plan_named(table) for table in named_tables(everything, chosen)]
    ours = [table for table in everything if not table.is_servers]
    plans = [_plan(table, is_main=is_main(table, now)) for table in ours]
    return sorted(plans, key=_urgency)


def named_tables(states: Iterable[TableState], named: Iterable[str]) -> list[TableState]:
    """The tables of these names; OpsError for a name that none has."""
    names = frozenset(named)
    chosen = [table for table in states if names & {table.qualified_name, _short(table)}]
    unknown = names - {name for t in chosen for name in (t.qualified_name, _short(t))}
    if unknown:
        raise OpsError(
            f"tables {', '.join(sorted(unknown))}",
            cause="no table of that name exists",
            next_step="name tables of public plainly, others as schema.table",
        )
    return chosen


def is_main(table: TableState, now: datetime) -> bool:
    """Whether a table is looked after every week whatever its counters say."""
    if table.schema == "public" and table.name in MAIN_TABLES:
        return True
    current = Month.of(now)
    return table.lower_bound in (current.start, current.plus(-1).start)


def _states(connection: Connection, oid: int | None) -> list[TableState]:
    def read(locked: Locked) -> list[TableState]:
        with connection.cursor(row_factory=class_row(TableState)) as cursor:
            states = cursor.execute(
                with_settings("maintenance/table_states"), {"oid": oid, "locked": locked.oids}
            ).fetchall()
        return [replace(state, locked=locked.by(state.oid)) for state in states]

    return beside_locks(connection, "sizes of tables", read)


def _short(table: TableState) -> str:
    return table.name if table.schema == "public" else table.qualified_name


def _plan_named(table: TableState) -> MaintenancePlan:
    return MaintenancePlan(
        table, vacuum=not table.is_parent, freeze=False, analyze=True, reasons=("named",)
    )


def _plan(table: TableState, *, is_main: bool) -> MaintenancePlan:
    if table.is_parent:
        # Autovacuum never does, and the planner's figures for the whole come from nowhere else.
        return MaintenancePlan(table, False, False, True, ("autovacuum never analyses a parent",))
    aging = _aging(table)
    vacuum = [*aging, *_vacuum_reasons(table, is_main=is_main)]
    analyze = _analyze_reasons(table, is_main=is_main)
    return MaintenancePlan(table, bool(vacuum), bool(aging), bool(analyze), (*vacuum, *analyze))


def _aging(table: TableState) -> list[str]:
    return [
        f"{what} ids at {share:.0%} of the age that forces a freeze"
        for what, share in (
            ("transaction", table.freeze_share),
            ("multixact", table.multixact_share),
        )
        if share > FREEZE_SHARE
    ]


def _vacuum_reasons(table: TableState, *, is_main: bool) -> list[str]:
    reasons = []
    dead_limit = 0 if is_main else table.vacuum_trigger / 2
    if table.dead_rows > dead_limit:
        reasons.append(f"{table.dead_rows:,} dead rows, limit {dead_limit:,.0f}")
    if table.dead_toast_rows > table.toast_trigger / 2:
        reasons.append(f"{table.dead_toast_rows:,} dead TOAST rows")
    if table.insert_trigger is not None:
        insert_limit = 0 if is_main else table.insert_trigger / 2
        if table.inserted_rows > insert_limit:
            reasons.append(f"{table.inserted_rows:,} rows inserted, limit {insert_limit:,.0f}")
    # The size as it is, not relpages, which is as old as the last vacuum.
    visible_share = table.visible_pages * PAGE / table.bytes if table.bytes else 1.0
    if visible_share < LEAST_VISIBLE_SHARE:
        reasons.append(f"{visible_share:.0%} of the pages all-visible")
    return reasons


def _analyze_reasons(table: TableState, *, is_main: bool) -> list[str]:
    limit = 0 if is_main else table.analyze_trigger / 2
    if table.modified_rows > limit:
        return [f"{table.modified_rows:,} rows modified since analyzed, limit {limit:,.0f}"]
    return []


def _urgency(plan: MaintenancePlan) -> tuple[bool, float, bool, float]:
    return (
        not plan.freeze,
        -plan.table.age_share if plan.freeze else 0,
        not plan.table.is_parent,
        -plan.table.dead_rows,
    )
