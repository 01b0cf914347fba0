"""Brings what is missing of one subject back in one transaction, or shows what it would.

All questions and all writes share one snapshot of the live database: what comes in between makes
the transaction fail, and it is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Final

import psycopg
from psycopg.types.json import Jsonb

from ft_ops.errors import OpsError, Refused, explanation, without_rows
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.barred import refuse_barred
from ft_ops.restore.failures import is_about_rows
from ft_ops.restore.plan import (
    RestorePlan,
    named_media,
    plan_digest,
    refuse_another_plan,
    table_plan,
)
from ft_ops.restore.read.graph import Scope, scope_of
from ft_ops.restore.read.rows import copy_rows
from ft_ops.restore.read.sides import Side
from ft_ops.restore.subject import Decisions, Subject
from ft_ops.restore.verdict.judge import Judge, Judged
from ft_ops.restore.verdict.months import keep_reservations
from ft_ops.restore.ways import lock_ways
from ft_ops.restore.write import (
    RowsRefused,
    RowsWritten,
    Written,
    keep_out_altered,
    keep_out_failures,
    refuse_other_writes,
    rows_altered,
    write_rows,
    written,
)

_ATTEMPTS: Final = 5
_RACES: Final = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    # A month's table that was removed behind the catalog's reading.
    psycopg.errors.UndefinedTable,
)
"""What a transaction fails with when others write what it is about to write, or move it."""


def restore_subject(
    copy: Side,
    live: Connection,
    subject: Subject,
    *,
    source: str,
    as_of: datetime | None,
    decisions: Decisions,
    apply: bool,
    run_id: str,
) -> RestorePlan:
    """The difference for ``subject``; with ``apply`` it is written, all of it or nothing.

    ``source`` says in words where the copy comes from. Refused when the subject is in neither
    database, when something is named as a mistake that is none, or when anything but the
    subject's rows would be written.
    """
    _refuse_unreasoned(subject, decisions)
    with only_one(live, f"restore of {subject}"):
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                # Whatever the last attempt still fails on is no race: those rows stay out.
                is_race = _is_race if attempt < _ATTEMPTS else _is_none
                return _once(copy, live, subject, source, as_of, decisions, apply, run_id, is_race)
            except psycopg.Error as error:
                if not _is_race(error):
                    raise explanation(f"restore of {subject}", error) from error
                if attempt == _ATTEMPTS:
                    said = without_rows(error)
                    raise OpsError(
                        f"restore of {subject}",
                        cause=f"{attempt} attempts failed on what others write: {said}",
                        next_step="see what writes to it, then run again; nothing was changed",
                    ) from error
    raise AssertionError("the last attempt returns or raises")


def _is_race(error: psycopg.Error) -> bool:
    # A row without a partition is a check that no constraint has made: its month has moved.
    has_moved = isinstance(error, psycopg.errors.CheckViolation) and not error.diag.constraint_name
    return has_moved or isinstance(error, _RACES)


def _is_none(_: psycopg.Error) -> bool:
    return False


def _once(
    copy: Side,
    live: Connection,
    subject: Subject,
    source: str,
    as_of: datetime | None,
    decisions: Decisions,
    apply: bool,
    run_id: str,
    is_race: Callable[[psycopg.Error], bool],
) -> RestorePlan:
    with live.transaction():
        live.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # Every row is found by its key. The planner guesses at lists of ids and at rows of several
        # tables, and would at times read whole tables for one family.
        for way in ("enable_hashjoin", "enable_mergejoin"):
            live.execute("SELECT set_config(%s, 'off', true)", (way,))
        side = Side.of(live)
        scope = scope_of(side.catalog, subject)
        refuse_barred(copy, side, scope)
        ids = side.ids(scope)
        copied = copy_rows(copy, side, scope, copy.ids(scope))
        judge = Judge(side, scope, copied, ids, decisions)
        judged = judge.judge()
        digest = plan_digest(side, subject, source, decisions, copied)
        judged, rows, before = _write(judge, judged, run_id, is_race)
        plan = RestorePlan(
            subject=subject,
            source=source,
            tables=tuple(
                table_plan(
                    live,
                    rows,
                    frozenset(copy.columns(name) if copy.has(name) else ()),
                )
                for name, rows in copied.items()
            ),
            deletions=judged.tombstones,
            withdrawn=judged.withdrawn,
            media=named_media(live, copied),
            not_compared=(*scope.without_key, *_gone(copy, scope)),
            applied=apply,
            digest=digest,
        )
        if plan.rows == 0:
            raise Refused(
                f"restore of {subject}",
                cause=f"{source} has no row of it",
                next_step=copy.where_else,
            )
        if not apply:
            raise psycopg.Rollback
        refuse_another_plan(plan, decisions.agreed)
        if plan.inserts + plan.overwrites > 0:
            lock_ways(live, copied)
            keep_reservations(copy.connection, live, copied)
            refuse_other_writes(side, scope, rows, before)
            _record(live, plan, as_of, decisions, run_id)
    return plan


def _write(
    judge: Judge, judged: Judged, run_id: str, is_race: Callable[[psycopg.Error], bool]
) -> tuple[Judged, Mapping[str, RowsWritten], Mapping[str, Written]]:
    """Write what was judged to come back; what was judged, what was written, and what before.

    Rows that a table does not take are kept out, with what hangs on them, and all others are
    written anew: so a dry run, which is undone, says what would be.
    """
    live = judge.connection
    immediate = False
    while judge.writes():
        with live.transaction() as savepoint:
            before = written(live)
            if immediate:
                live.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _withdraw(live, judged, judge.decisions, run_id)
            rows = write_rows(judge.live, judge.copied, is_race)
            altered: Mapping[str, list[int]] = {}
            if not isinstance(rows, RowsRefused) and (immediate or _takes_all(live, is_race)):
                altered = rows_altered(judge.live, judge.copied)
                if not altered:
                    break
            savepoint.force_rollback = True
        if isinstance(rows, RowsRefused):
            keep_out_failures(live, rows)
            judged = judge.again(judged)
        elif altered:
            keep_out_altered(live, judge.copied, altered)
            judged = judge.again(judged)
        else:
            # What was put off to the end fails: which rows that is, each statement has to tell.
            immediate = True
    else:
        return judged, {}, {}
    return judged, rows, before


def _takes_all(live: Connection, is_race: Callable[[psycopg.Error], bool]) -> bool:
    """Whether the constraints that wait for the end of a transaction take what was written."""
    try:
        with live.transaction():
            live.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        if not is_about_rows(error) or is_race(error):
            raise
        return False
    return True


def _withdraw(live: Connection, judged: Judged, decisions: Decisions, run_id: str) -> None:
    if judged.withdrawn:
        live.execute(
            statement("restore/withdraw_erasures"),
            {
                "kinds": [tombstone.kind for tombstone in judged.withdrawn],
                "ids": [tombstone.id for tombstone in judged.withdrawn],
                "reason": decisions.reason,
                "run_id": run_id,
            },
        )


def _record(
    live: Connection, plan: RestorePlan, as_of: datetime | None, decisions: Decisions, run_id: str
) -> None:
    """In the ledger and in audit_log, as part of the restore itself."""
    rows = {
        table.table: {"inserted": table.inserts, "overwritten": table.overwrites}
        for table in plan.tables
        if table.inserts or table.overwrites
    }
    live.execute(
        statement("restore/record_restore"),
        {
            "kind": plan.subject.kind,
            "subject": plan.subject.id,
            "source": plan.source,
            "as_of": as_of,
            "overwrote": decisions.overwrite_changed,
            "rows": Jsonb(rows),
            "run_id": run_id,
        },
    )
    write_audit(
        live,
        "restore_family",
        plan.subject.root.removeprefix("public."),
        {
            "subject": str(plan.subject),
            "source": plan.source,
            "as_of": as_of.isoformat() if as_of is not None else None,
            "rows": rows,
            "withdrawn": [
                {**asdict(t), "id": str(t.id), "erased_at": t.erased_at.isoformat()}
                for t in plan.withdrawn
            ],
            "reason": decisions.reason,
            "plan": plan.digest,
            "with_removed_members": decisions.removed_members,
            "run_id": run_id,
        },
    )


def _refuse_unreasoned(subject: Subject, decisions: Decisions) -> None:
    if decisions.mistakes and not decisions.reason.strip():
        raise Refused(
            f"restore of {subject}",
            cause="a deletion is named as a mistake without a reason",
            next_step="say who decided that and why: the reason stays on record",
        )


def _gone(copy: Side, scope: Scope) -> list[str]:
    """Tables that only the copy has, and that hold something of the subject there."""
    known = {table.name for table in scope.tables} | set(scope.owners)
    there = scope_of(copy.catalog, scope.subject)
    return sorted({table.name for table in there.tables} - known)
