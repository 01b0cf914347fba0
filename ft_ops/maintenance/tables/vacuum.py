"""Vacuums and analyses tables, and says from the server's own words what came of each.

VACUUM of a table that it may not touch, or that is locked, succeeds with a WARNING: what it did is
read from its messages, and that it did it from the table's last_vacuum and last_analyze.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

import psycopg
from psycopg import sql

from ft_ops.errors import OpsError, without_rows
from ft_ops.maintenance.owners import way_in
from ft_ops.maintenance.tables.horizon import HorizonHolder, horizon_holders, in_words
from ft_ops.maintenance.tables.messages import (
    NOTHING_SAID,
    Figures,
    Meaning,
    Notice,
    figures,
    notices_of,
)
from ft_ops.maintenance.tables.need import (
    FREEZE_SHARE,
    MaintenancePlan,
    TableState,
    plan_tables,
    table_state,
    table_states,
)
from ft_ops.pg.beside_locks import ACCESS_EXCLUSIVE, ANY_BUT_READING_AND_WRITING, lockers
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.sqlfiles import quoted, statement

Result = Literal[
    "done",
    "nothing to do",
    "planned",
    "locked",
    "denied",
    "out of time",
    "held back",
    "failsafe",
    "failed",
]
"""What became of a table. "held back" is vacuumed, to little effect: somebody holds the horizon.
"failsafe" is frozen, its indexes left as they were: its ids were too near their end."""

# PostgreSQL 15 does not know it, and uses 256 kB.
_BUFFERS: Final = sql.SQL("BUFFER_USAGE_LIMIT '16MB'")
_BUFFERS_SINCE: Final = 160_000
_COMMON: Final = (sql.SQL("VERBOSE"), sql.SQL("SKIP_LOCKED"))
# Without truncation no ACCESS EXCLUSIVE lock is taken, on a replica neither.
_VACUUM: Final = (*_COMMON, sql.SQL("TRUNCATE FALSE"), sql.SQL("PARALLEL 2"))
# INDEX_CLEANUP AUTO leaves a few dead pages, which then are never all-visible.
_FREEZE: Final = (*_VACUUM, sql.SQL("FREEZE"), sql.SQL("INDEX_CLEANUP ON"))
# What the server's own failsafe does: nothing but freeze. PARALLEL is about indexes.
_URGENT: Final = (*_COMMON, sql.SQL("TRUNCATE FALSE"), sql.SQL("INDEX_CLEANUP OFF"))
_YOUNG_SHARE: Final = 0.25
"""Of a table's limit: an urgent freeze leaves younger ids as they are."""

_WARNED: Final[tuple[tuple[Meaning, Result], ...]] = (
    ("locked", "locked"),
    ("gone", "nothing to do"),
    ("denied", "denied"),
    ("damage", "failed"),
)
"""Warnings that say what became of a table; of any other, its own record says more."""


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What became of one table. ``detail`` explains any result but "done", or quotes a warning.

    ``holders`` keep dead rows from being removed, or ids from being frozen.
    """

    table: TableState
    result: Result
    action: str
    reasons: tuple[str, ...]
    figures: Figures = NOTHING_SAID
    holders: tuple[HorizonHolder, ...] = ()
    detail: str = ""
    seconds: float = 0.0

    @property
    def held_back_by(self) -> str:
        return in_words(self.holders)


def vacuum_tables(
    connection: Connection,
    named: Sequence[str],
    *,
    now: datetime,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    log: Callable[[str], None] = lambda line: None,
) -> list[TableOutcome]:
    """Vacuum and analyse what the criteria name, or the tables ``named``; an outcome a table.

    The analysis of a parent covers its partitions, so these are judged after it.
    """

    def plans(*, parents: bool) -> list[MaintenancePlan]:
        planned = plan_tables(table_states(connection), named, now)
        return [plan for plan in planned if plan.table.is_parent is parents]

    def maintain(chosen: Sequence[MaintenancePlan]) -> list[TableOutcome]:
        return maintain_tables(connection, chosen, deadline=deadline, clock=clock, log=log)

    return [*maintain(plans(parents=True)), *maintain(plans(parents=False))]


def maintain_tables(
    connection: Connection,
    plans: Sequence[MaintenancePlan],
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    log: Callable[[str], None] = lambda line: None,
) -> list[TableOutcome]:
    """Do what each plan says, in order; one outcome a plan.

    Never waits for a lock: a locked table is tried once more after all others. Begins nothing at
    or after ``deadline`` (on ``clock``), and the server ends what runs beyond it.
    """
    outcomes: dict[int, TableOutcome] = {}
    for attempt in (1, 2):
        for plan in plans:
            if attempt == 2 and outcomes[plan.table.oid].result != "locked":
                continue
            outcome = _maintain(connection, plan, deadline - clock(), clock)
            outcomes[plan.table.oid] = outcome
            if outcome.result != "nothing to do":
                log(_line(outcome))
    return [outcomes[plan.table.oid] for plan in plans]


def planned(plans: Iterable[MaintenancePlan]) -> list[TableOutcome]:
    """The outcomes of a dry run: what would be done, and why."""
    return [
        TableOutcome(
            plan.table, "planned" if plan.reasons else "nothing to do", _action(plan), plan.reasons
        )
        for plan in plans
    ]


def refuse_denied(outcomes: Iterable[TableOutcome]) -> None:
    """OpsError when a table was out of this role's reach: it names what lets it in."""
    denied = [o.table for o in outcomes if o.result == "denied"]
    if denied:
        ways = {
            # The server's own are nobody's to hand over.
            f"as a superuser, VACUUM {quoted(table.schema, table.name)}"
            if table.is_servers and table.is_superusers
            else way_in(table.schema, table.name, table.owner, is_superusers=table.is_superusers)
            for table in denied
        }
        raise OpsError(
            f"vacuum of {', '.join(table.qualified_name for table in denied)}",
            cause="the operations role is no member of the owner's role",
            next_step=f"as an administrator: {'; '.join(sorted(ways))}",
        )


def refuse_failed(outcomes: Iterable[TableOutcome]) -> None:
    """OpsError when a table failed or stayed locked, after all others were done."""
    failed = [o for o in outcomes if o.result in {"failed", "locked"}]
    if failed:
        raise OpsError(
            f"vacuum of {', '.join(o.table.qualified_name for o in failed)}",
            cause="; ".join(f"{o.table.qualified_name}: {o.detail}" for o in failed),
            next_step="correct what the messages name; the next run tries again, and all other "
            "tables are done",
        )


def _maintain(
    connection: Connection, plan: MaintenancePlan, seconds_left: float, clock: Callable[[], float]
) -> TableOutcome:
    outcome = TableOutcome(plan.table, "done", _action(plan), plan.reasons)
    if not plan.reasons:
        return replace(outcome, result="nothing to do")
    if not plan.table.may_vacuum:
        return replace(outcome, result="denied", detail=f"it belongs to {plan.table.owner}")
    if seconds_left <= 0:
        return replace(outcome, result="out of time", detail="the window is over")
    if plan.table.is_parent and (holders := lockers(connection, plan.table.oid, ACCESS_EXCLUSIVE)):
        # Its analysis opens every partition, and would wait for one that is locked.
        detail = f"it or a partition is locked by {', '.join(map(str, holders))}"
        return replace(outcome, result="locked", detail=detail)
    began = clock()
    with notices_of(connection) as notices:
        result, detail = _attempt(connection, plan, seconds_left)
    outcome = replace(
        outcome,
        result=result,
        detail=detail,
        seconds=clock() - began,
        figures=figures(notices),
    )
    if result == "done":
        outcome = _judged(connection, plan, outcome, notices)
    if outcome.result == "locked":
        outcome = _with_lockers(connection, outcome)
    if outcome.figures.dead_kept or _is_held_back(outcome, notices):
        outcome = replace(outcome, holders=_holders(connection, outcome))
    return outcome


def _attempt(
    connection: Connection, plan: MaintenancePlan, seconds_left: float
) -> tuple[Result, str]:
    try:
        _execute(connection, plan, seconds_left)
    except psycopg.errors.QueryCanceled:
        return "out of time", "ended with the window"
    except psycopg.errors.LockNotAvailable as error:
        return "locked", str(error).strip()
    except psycopg.errors.UndefinedTable:
        return "nothing to do", "dropped meanwhile"
    except psycopg.Error as error:
        if connection.broken:
            raise
        return "failed", without_rows(error)
    return "done", ""


def _execute(connection: Connection, plan: MaintenancePlan, seconds_left: float) -> None:
    options = list(_URGENT if plan.is_urgent else _FREEZE if plan.freeze else _VACUUM)
    if plan.is_urgent:
        _freeze_what_is_not_young(connection, plan.table)
    name = "maintenance/vacuum"
    if not plan.vacuum:
        options, name = list(_COMMON), "maintenance/analyze"
    elif plan.analyze:
        options.append(sql.SQL("ANALYZE"))
    if connection.info.server_version >= _BUFFERS_SINCE:
        options.append(_BUFFERS)
    query = statement(name).format(options=sql.SQL(", ").join(options), table=plan.table.identifier)
    milliseconds = max(1, int(seconds_left * 1000))
    connection.execute("SELECT set_config('statement_timeout', %s, false)", (str(milliseconds),))
    try:
        connection.execute(query)
    finally:
        if takes_statements(connection):
            connection.execute("RESET statement_timeout")


def _freeze_what_is_not_young(connection: Connection, table: TableState) -> None:
    connection.execute(
        statement("maintenance/vacuum_at_full_speed"),
        {
            "transactions": int(_YOUNG_SHARE * table.freeze_limit),
            "multixacts": int(_YOUNG_SHARE * table.multixact_limit),
        },
    )


def _judged(
    connection: Connection, plan: MaintenancePlan, outcome: TableOutcome, notices: Sequence[Notice]
) -> TableOutcome:
    """The outcome by the server's warnings, and by its own record of the table."""
    warned = {notice.meaning: notice.text for notice in notices if notice.meaning is not None}
    for meaning, result in _WARNED:
        if meaning in warned:
            return replace(outcome, result=result, detail=warned[meaning])
    after = table_state(connection, plan.table.oid)
    if after is None:
        return replace(outcome, result="nothing to do", detail="dropped meanwhile")
    said = "; ".join(warned.values())
    moved = (not plan.vacuum or after.last_vacuum != plan.table.last_vacuum) and (
        not plan.analyze or after.last_analyze != plan.table.last_analyze
    )
    if not moved:
        detail = said or "the server reported no error and recorded no vacuum"
        return replace(outcome, result="failed", detail=detail)
    outcome = replace(outcome, table=after, detail=said)
    if "failsafe" in warned:
        return replace(outcome, result="failsafe")
    if plan.freeze and after.age_share > FREEZE_SHARE:
        detail = said or "its oldest ids are still needed by somebody"
        return replace(outcome, result="held back", detail=detail)
    return outcome


def _is_held_back(outcome: TableOutcome, notices: Sequence[Notice]) -> bool:
    return outcome.result == "held back" or any(n.meaning == "old horizon" for n in notices)


def _with_lockers(connection: Connection, outcome: TableOutcome) -> TableOutcome:
    """The outcome of a locked table, with who has it, unless he has let it go meanwhile."""
    found = lockers(connection, outcome.table.oid, ANY_BUT_READING_AND_WRITING)
    if not found:
        return outcome
    if all(locker.is_autovacuum for locker in found):
        return replace(outcome, result="nothing to do", detail="autovacuum is at work on it")
    detail = f"{outcome.detail}: locked by {', '.join(map(str, found))}"
    return replace(outcome, detail=detail)


def _holders(connection: Connection, outcome: TableOutcome) -> tuple[HorizonHolder, ...]:
    """Those whom the vacuum could not get beyond, while they are there."""
    table = outcome.table
    database = None if table.is_shared else connection.info.dbname
    return tuple(
        holder
        for holder in horizon_holders(connection)
        if holder.holds(database, catalogs=table.is_servers) and _is_beyond(holder, outcome)
    )


def _is_beyond(holder: HorizonHolder, outcome: TableOutcome) -> bool:
    """Whether a vacuum stopped at this one: by its own word, or by what the table's age needs.

    It says nothing that can be read in another language than English. And who holds multixact ids
    the server does not tell: whoever has been there for long may.
    """
    table, cutoff = outcome.table, outcome.figures.cutoff
    is_about_ids = outcome.result != "held back" or table.freeze_share > FREEZE_SHARE
    if is_about_ids and cutoff is not None:
        return holder.is_at_or_before(cutoff)
    if is_about_ids and outcome.result == "held back":
        return holder.age > FREEZE_SHARE * table.freeze_limit
    return holder.is_long


def _action(plan: MaintenancePlan) -> str:
    vacuum = "freeze" if plan.freeze else "vacuum"
    return " and ".join(
        [*([vacuum] if plan.vacuum else []), *(["analyze"] if plan.analyze else [])]
    )


def _line(outcome: TableOutcome) -> str:
    told = f"{outcome.action} of {outcome.table.qualified_name}: {outcome.result}"
    return f"{told} ({outcome.detail})" if outcome.detail else f"{told}, {outcome.seconds:.1f} s"
