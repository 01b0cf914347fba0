"""Freezes the oldest tables of a database as fast as can be, the server's own included.

For when transaction ids run out before autovacuum gets there. It does what a vacuum by the
server's failsafe does: reads every page that is not frozen, leaves the indexes as they are, and
takes no rests. Nothing is gained beyond the oldest id that somebody still holds, so these are named
first.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from ft_ops.errors import OpsError
from ft_ops.maintenance.tables.horizon import HorizonHolder, horizon_holders
from ft_ops.maintenance.tables.need import (
    FREEZE_SHARE,
    MaintenancePlan,
    TableState,
    named_tables,
    table_states,
)
from ft_ops.maintenance.tables.vacuum import TableOutcome, maintain_tables
from ft_ops.maintenance.tables.wraparound import Age, wraparound
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.sqlfiles import quoted

_AT_FULL_SPEED: Final = (
    "vacuum_freeze_table_age",
    "vacuum_multixact_freeze_table_age",
    "vacuum_cost_delay",
    "vacuum_freeze_min_age",
    "vacuum_multixact_freeze_min_age",
)


@dataclass(frozen=True, slots=True)
class Emergency:
    """What became of each old table, and what is left for others to do, in words."""

    outcomes: tuple[TableOutcome, ...]
    holders: tuple[str, ...]
    elsewhere: tuple[str, ...]


def vacuum_oldest(
    connection: Connection,
    named: Sequence[str],
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    log: Callable[[str], None] = lambda line: None,
) -> Emergency:
    """Freeze this database's tables that are beyond half of the limit, or those ``named``.

    The oldest comes first. Other databases that are too old are told, with the command for each.
    """
    tables = _old_tables(table_states(connection), named)
    holders = [h for h in horizon_holders(connection) if _is_in_the_way(connection, h, tables)]
    for holder in holders:
        log(f"holds the horizon: {holder}: {holder.remedy}")
    plans = [_plan(table) for table in tables]
    with _reset_afterwards(connection):
        outcomes = maintain_tables(connection, plans, deadline=deadline, clock=clock, log=log)
    here = connection.info.dbname
    return Emergency(
        outcomes=tuple(outcomes),
        holders=tuple(map(str, holders)),
        elsewhere=tuple(
            command_for(age)
            for age in wraparound(connection).databases
            if age.name != here and age.level != "fine"
        ),
    )


def _is_in_the_way(
    connection: Connection, holder: HorizonHolder, tables: Sequence[TableState]
) -> bool:
    """Whether one of the tables stays too old as long as this one is there."""
    return any(
        holder.age > FREEZE_SHARE * table.freeze_limit
        and holder.holds(
            None if table.is_shared else connection.info.dbname, catalogs=table.is_servers
        )
        for table in tables
    )


def _old_tables(tables: Sequence[TableState], named: Sequence[str]) -> list[TableState]:
    plain = [table for table in tables if not table.is_parent]
    if named:
        return named_tables(plain, named)
    old = [table for table in plain if table.age_share > FREEZE_SHARE]
    return sorted(old, key=lambda table: (-table.age_share, table.qualified_name))


def _plan(table: TableState) -> MaintenancePlan:
    reason = f"ids at {table.age_share:.0%} of the age that forces a freeze"
    return MaintenancePlan(
        table, vacuum=True, freeze=True, analyze=False, reasons=(reason,), is_urgent=True
    )


@contextmanager
def _reset_afterwards(connection: Connection) -> Iterator[None]:
    """What an urgent vacuum sets for its session is the server's again."""
    try:
        yield
    finally:
        if takes_statements(connection):
            for name in _AT_FULL_SPEED:
                connection.execute(sql.SQL("RESET {}").format(sql.Identifier(name)))


def command_for(age: Age) -> str:
    """What an administrator runs against another database that is too old."""
    vacuum = f"vacuumdb --freeze --dbname={shlex.quote(age.name)}"
    if age.is_open:
        return f"database {age.name}: as an administrator, {vacuum}"
    allow = f"ALTER DATABASE {quoted(age.name)} ALLOW_CONNECTIONS"
    return f"database {age.name}: as an administrator, {allow} true; {vacuum}; {allow} false"


def refuse_unfinished(emergency: Emergency) -> None:
    """OpsError while a table is as old as before, or another database is too old."""
    left = [o for o in emergency.outcomes if o.result not in {"done", "failsafe", "nothing to do"}]
    if not left and not emergency.elsewhere:
        return
    causes = [f"{o.table.qualified_name}: {o.result}, {o.detail or o.held_back_by}" for o in left]
    steps = dict.fromkeys(holder.remedy for o in left for holder in o.holders)
    raise OpsError(
        "vacuum of the oldest tables",
        cause="; ".join([*causes, *(f"{e} is needed" for e in emergency.elsewhere)]),
        next_step="; ".join([*steps, "then launch vacuum_emergency again"]),
    )
