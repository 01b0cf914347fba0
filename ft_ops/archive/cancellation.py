"""Ends a thaw or an erasure before its time, from whatever state it is in."""

from __future__ import annotations

from psycopg import sql

from ft_ops.archive.erase.erase import drop_rewritten, give_up_begun
from ft_ops.archive.month.relation import named_relation, recorded_relation
from ft_ops.archive.month.states import TO_LOAD
from ft_ops.archive.month.thaws import Thaw, enter_thaw, open_thaw
from ft_ops.archive.run import Run
from ft_ops.archive.thaw.merge import drop_merged
from ft_ops.archive.thaw.thaw import load
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


def cancel(run: Run, month: Month) -> str:
    """End what asked a month back; in words, what was done. Refused when nothing did.

    What only waits, or has loaded nothing yet, leaves no trace but its line in the ledger. Rows
    that are in the database already are taken out by the next run of `refreeze_thawed_content`, as
    at the end of any thaw. Glacier's readable copies, which are paid for, expire by themselves. The
    caller holds the month's advisory lock.
    """
    thaw = open_thaw(run.connection, month)
    if thaw is None:
        raise Refused(
            f"cancellation of {month}",
            cause="neither a thaw nor an erasure of it is under way",
            next_step="see the open ones: SELECT * FROM ops.thaw_status",
        )
    if thaw.state in TO_LOAD:
        give_up(run, thaw)
        return f"{thaw.name} cancelled"
    if thaw.state == "loaded":
        thaw = load(run, thaw)
    with run.connection.transaction():
        if thaw.state == "refreezing":
            done = "is being taken out of the database already"
        else:
            enter_thaw(run.connection, thaw, "thawed", expires_at=sql.SQL("clock_timestamp()"))
            done = "ends now: the sensor thaws_in_progress takes its rows out of the database"
        _audit(run, thaw)
    return f"{thaw.name} {done}"


def _audit(run: Run, thaw: Thaw) -> None:
    """In the transaction of what it tells: a run may die right after it."""
    write_audit(
        run.connection, "archive.cancel", "ops.thaws", {"month": str(thaw.month), "thaw": thaw.id}
    )


def give_up(run: Run, thaw: Thaw) -> None:
    """End a thaw or an erasure that has loaded nothing; the caller holds the month's lock."""
    for purpose in ("thaw", "erasure"):
        drop_merged(run.connection, thaw.month, purpose=purpose)
    if thaw.purpose == "erasure":
        drop_rewritten(run, thaw)

    def close() -> None:
        with run.connection.transaction():
            _drop_table(run, thaw)
            if thaw.purpose == "erasure":
                give_up_begun(run, thaw)
            enter_thaw(run.connection, thaw, "cancelled", done_at=sql.SQL("clock_timestamp()"))
            _audit(run, thaw)

    with_escalating_lock_timeout(
        run.connection, f"cancellation of {thaw.name}", close, sleep=run.sleep
    )


def _drop_table(run: Run, thaw: Thaw) -> None:
    """Drop the table that a thaw has made and not filled."""
    if thaw.relation is None or named_relation(run.connection, thaw.relation.bare) is None:
        return
    table = recorded_relation(run.connection, thaw.name, thaw.relation)
    if table.parent is not None:
        return
    [[rows]] = run.connection.execute(
        statement("archive/count_rows").format(table=table.identifier)
    ).fetchall()
    if rows:
        raise Refused(
            thaw.name,
            cause=f"{table.qualified} holds {rows} rows, and the ledger says that nothing was "
            "loaded",
            next_step="find out who wrote them; nothing was dropped",
        )
    run.connection.execute(statement("archive/drop_empty").format(archived=table.identifier))
