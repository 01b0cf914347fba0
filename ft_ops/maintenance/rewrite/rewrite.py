"""Writes bloated tables anew, one after another, while the application goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import psycopg

from ft_ops.backups import newest_verified_backup
from ft_ops.errors import OpsError, explained
from ft_ops.format import human_bytes
from ft_ops.maintenance.gates import Gates, Rewrite, closed_gates
from ft_ops.maintenance.rewrite.advice import Advice, Means, advice_of, is_worth_it
from ft_ops.maintenance.rewrite.now import TableNow, required_now, table_now
from ft_ops.maintenance.rewrite.pg_repack import (
    Program,
    Repacked,
    drop_repack_leftovers,
    leftovers,
    refuse_unusable,
    repack,
)
from ft_ops.maintenance.rewrite.rows import HashedRows, is_empty, rows_of
from ft_ops.maintenance.tables.table_bloat import TableEstimate, TableFiles, table_states
from ft_ops.pg.application import Canary
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one

TASK: Final = "tables written anew"
_COUNTERS_SECONDS: Final = 65
_DROP_TRIES: Final = 15
_EMPTY: Final = (
    "it is empty now: ask who emptied it. If nobody did, stop all that deletes, and compare it "
    "with the newest verified backup"
)

Result = Literal["rewritten", "planned", "deferred", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class RewriteTerms:
    """The terms of one run. ``deadline`` is on the run's clock."""

    gates: Gates
    canary_limit_ms: float
    deadline: float


@dataclass(frozen=True, slots=True)
class RewriteOutcome:
    """What became of one table. ``detail`` explains any result but "rewritten".

    ``rows_are_the_same`` is None where others wrote meanwhile, so that nobody can tell. ``seconds``
    is None where nothing was begun.
    """

    advice: Advice
    result: Result
    detail: str = ""
    bytes_after: int | None = None
    seconds: float | None = None
    rows_are_the_same: bool | None = None

    @property
    def table(self) -> TableFiles:
        return self.advice.estimate.table


@dataclass(frozen=True, slots=True)
class _Rewriting:
    """What one run works with: ``beside`` is a second connection, for watching."""

    connection: Connection
    beside: Connection
    program: Program
    terms: RewriteTerms
    log: Callable[[str], None]
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    @property
    def seconds_left(self) -> float:
        return self.terms.deadline - self.clock()


def chosen_tables(
    estimates: Sequence[TableEstimate], means: Means, named: Collection[str]
) -> list[Advice]:
    """The tables ``named``, in that order; else those that are worth it, the most to gain first.

    An OpsError for a name that no table has. Those of public need no schema.
    """
    if not named:
        worth = [advice_of(estimate, means) for estimate in estimates if is_worth_it(estimate)]
        return sorted(worth, key=lambda advice: -advice.estimate.reclaimable_bytes)
    by_name = {estimate.table.qualified_name: estimate for estimate in estimates}
    full = [name if name in by_name else f"public.{name}" for name in named]
    unknown = [name for name in full if name not in by_name]
    if unknown:
        raise OpsError(
            "tables to write anew",
            cause=f"there is no such table: {', '.join(unknown)}",
            next_step="name them as the metadata of table_bloat does; of a partitioned table its "
            "partitions",
        )
    return [advice_of(by_name[name], means) for name in dict.fromkeys(full)]


def plan_rewrites(
    connection: Connection, chosen: Iterable[Advice], terms: RewriteTerms, left: float
) -> list[RewriteOutcome]:
    """What a run with so many seconds ``left`` would do right now, changing nothing."""
    outcomes = []
    for advice in chosen:
        reasons = _reasons_to_wait(connection, advice, terms, left)
        result: Result = "deferred" if reasons else "planned"
        outcomes.append(RewriteOutcome(advice, result, "; ".join(reasons)))
        left -= 0 if reasons else advice.seconds
    return outcomes


def rewrite_tables(
    connection: Connection,
    beside: Connection,
    program: Program,
    chosen: Iterable[Advice],
    terms: RewriteTerms,
    means: Means,
    *,
    log: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[RewriteOutcome]:
    """Drop what died runs left, then write the ``chosen`` tables anew.

    One table's failure doesn't stop the rest; an application that suffers does.
    """
    run = _Rewriting(connection, beside, program, terms, log, clock, sleep)
    refuse_unusable(connection, program, means.pg_repack)
    outcomes: list[RewriteOutcome] = []
    with only_one(connection, TASK):
        drop_repack_leftovers(connection, log)
        for advice in chosen:
            if any(_ends_all(outcome) for outcome in outcomes):
                outcome = RewriteOutcome(advice, "deferred", "the run was stopped before it")
            else:
                outcome = _considered(run, advice)
            log(_line(outcome))
            outcomes.append(outcome)
        return _without_leftovers(run, outcomes)


def refuse_failed_rewrites(outcomes: Iterable[RewriteOutcome]) -> None:
    """OpsError when a table failed, once the others were done."""
    failed = [outcome for outcome in outcomes if outcome.result == "failed"]
    if failed:
        raise OpsError(
            f"writing anew {', '.join(outcome.table.qualified_name for outcome in failed)}",
            cause="; ".join(outcome.detail for outcome in failed),
            next_step="correct what the messages name, then launch repack_tables again",
        )


def _ends_all(outcome: RewriteOutcome) -> bool:
    """Whether nothing more may be begun: the application suffers, or rows may have been lost."""
    return outcome.result == "stopped" or outcome.rows_are_the_same is False


def _without_leftovers(run: _Rewriting, outcomes: list[RewriteOutcome]) -> list[RewriteOutcome]:
    """The same, but failed where the trigger, the log or the copy could not be dropped."""
    tried = {outcome.table.oid for outcome in outcomes if outcome.seconds is not None}
    for _ in range(_DROP_TRIES):
        dropped = drop_repack_leftovers(run.connection, run.log)
        still = {left.table_oid for left in leftovers(run.connection)} & tried
        if not still:
            break
        # The server notices within seconds that a program was killed.
        run.sleep(1)
    else:
        why = "; ".join(str(failed) for failed in dropped.failed)
        return [
            replace(outcome, result="failed", detail="; ".join(filter(None, [outcome.detail, why])))
            if outcome.table.oid in still
            else outcome
            for outcome in outcomes
        ]
    return outcomes


def _reasons_to_wait(
    connection: Connection, advice: Advice, terms: RewriteTerms, seconds_left: float
) -> list[str]:
    table = advice.estimate.table
    if advice.estimate.problem:
        return [advice.estimate.problem]
    now = table_now(connection, table.oid)
    if now is None:
        return ["it was dropped meanwhile"]
    rewrite = Rewrite(table.oid, advice.needs_bytes, advice.seconds)
    left = [left for left in leftovers(connection) if left.table_oid == table.oid]
    return [
        *(
            []
            if newest_verified_backup(connection)
            else ["no backup was ever restored and verified"]
        ),
        *([] if now.may_maintain else [f"it belongs to {now.owner}"]),
        *([] if now.is_plain else ["it is no ordinary, logged table"]),
        *([] if now.has_key else ["it has no primary key, and no unique index without NULLs"]),
        *([] if now.invalid_index is None else [f"its index {now.invalid_index} is invalid"]),
        *(f"what pg_repack left of it has to be dropped first, by {one.owner}" for one in left),
        *closed_gates(connection, rewrite, terms.gates, seconds_left),
    ]


def _considered(run: _Rewriting, advice: Advice) -> RewriteOutcome:
    """What becomes of a table; an error that a person can cause is its own alone."""
    try:
        with explained(advice.estimate.table.qualified_name):
            reasons = _reasons_to_wait(run.connection, advice, run.terms, run.seconds_left)
            if reasons:
                return RewriteOutcome(advice, "deferred", "; ".join(reasons))
            return _rewrite(run, advice)
    except OpsError as error:
        if run.connection.broken:
            raise
        return RewriteOutcome(advice, "failed", error.cause)


def _rewrite(run: _Rewriting, advice: Advice) -> RewriteOutcome:
    table = advice.estimate.table
    canary = Canary(run.terms.canary_limit_ms)
    canary.settle_in(run.beside)
    before = required_now(run.connection, table)
    try:
        rows = rows_of(run.connection, table, run.seconds_left)
    except psycopg.errors.QueryCanceled:
        return RewriteOutcome(advice, "deferred", "its rows could not be read within the window")
    # Reading a large table takes long enough for a gate to close.
    reasons = _reasons_to_wait(run.connection, advice, run.terms, run.seconds_left)
    if reasons:
        return RewriteOutcome(advice, "deferred", "; ".join(reasons))
    run.log(f"writing {table.qualified_name} anew: {advice.seconds:.0f} s predicted")
    began = run.clock()
    done = repack(
        run.beside,
        run.program,
        (table.oid, table.schema, table.name),
        canary,
        seconds=max(1.0, run.seconds_left),
        log=run.log,
    )
    seconds = run.clock() - began
    drop_repack_leftovers(run.connection, run.log)
    now = required_now(run.connection, table)
    if now.file_node == before.file_node:
        return _not_done(RewriteOutcome(advice, "failed", seconds=seconds), done)
    # The program may complain after its work is done: what counts is what the catalog says.
    same = _is_same(run, table, replace(before, file_node=now.file_node), rows)
    outcome = RewriteOutcome(
        advice,
        "rewritten",
        bytes_after=_bytes(run.connection, table),
        seconds=seconds,
        rows_are_the_same=same,
    )
    _note(run.connection, outcome)
    if same is None and rows.rows and is_empty(run.connection, table):
        # Nobody can tell, and so it does not pass.
        return replace(outcome, result="failed", detail=_EMPTY)
    if same is False:
        return replace(
            outcome,
            result="failed",
            detail="its rows differ from those before, though nobody wrote: stop all that "
            "deletes, and compare it with the newest verified backup",
        )
    return outcome


def _not_done(outcome: RewriteOutcome, done: Repacked) -> RewriteOutcome:
    """One that is as it was. A lock that it did not get is no failure: it ends with status 0."""
    if done.stopped:
        return replace(outcome, result="stopped", detail=done.stopped)
    detail = "; ".join(done.said[-3:])
    if any("timed out" in line or "due to timeout" in line for line in done.said):
        return replace(outcome, result="deferred", detail=detail)
    if done.error is not None:
        # With its status: one that was killed has said nothing.
        detail = done.error.cause
    return replace(outcome, detail=detail or "it ended well, and the table is as it was")


def _is_same(run: _Rewriting, table: TableFiles, before: TableNow, rows: HashedRows) -> bool | None:
    """Whether the rows are those of before; None where nobody can tell.

    That is where others wrote, changed its columns or emptied it, and where reading takes too long.
    """
    try:
        found = rows_of(run.connection, table, run.seconds_left)
        if found == rows:
            return True
        if not found.rows:
            # A TRUNCATE counts no row, and one that waited for the run may have come before us.
            return None
    except psycopg.errors.QueryCanceled:
        return None
    known = (before.rows_written, before.columns, before.file_node)
    # A session tells what it has written a minute late at worst. A TRUNCATE counts no row.
    for _ in range(_COUNTERS_SECONDS):
        now = required_now(run.connection, table)
        if (now.rows_written, now.columns, now.file_node) != known:
            return None
        run.sleep(1)
    return False


def _bytes(connection: Connection, table: TableFiles) -> int | None:
    return next((now.bytes for now in table_states(connection) if now.oid == table.oid), None)


def _note(connection: Connection, outcome: RewriteOutcome) -> None:
    write_audit(
        connection,
        "maintenance.repack",
        outcome.table.qualified_name,
        {
            "bytes_before": outcome.table.bytes,
            "bytes_after": outcome.bytes_after,
            "seconds": round(outcome.seconds or 0.0, 1),
            "rows_are_the_same": outcome.rows_are_the_same,
        },
    )


def _line(outcome: RewriteOutcome) -> str:
    table = outcome.table
    if outcome.result == "rewritten":
        after = human_bytes(outcome.bytes_after or 0)
        return (
            f"{table.qualified_name}: {human_bytes(table.bytes)} to {after} in "
            f"{outcome.seconds or 0.0:.1f} s"
        )
    return f"{table.qualified_name}: {outcome.result}, {outcome.detail}"
