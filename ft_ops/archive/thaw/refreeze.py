"""Takes a thawed month out of the database again when its time to live is over.

What is as it came back only has to go: the archive still has it. What was changed stays, and
becomes the month's next generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from psycopg import sql

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import ARCHIVED, archived_name
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import in_database, open_archived, record_relation, supersede
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.states import TO_REFREEZE
from ft_ops.archive.month.thaws import (
    Thaw,
    enter_thaw,
    generations_of,
    record_refrozen,
    record_table,
    record_untouched,
    thawed_relation,
    units_of,
)
from ft_ops.archive.month.units import Units, create_units, drop_units, index_segments
from ft_ops.archive.move.detach import detach_month
from ft_ops.archive.purge.gates import Gate, refreeze_gates
from ft_ops.archive.purge.proven import derive_removed, refuse_absent
from ft_ops.archive.purge.removal import Removal, Removed, forget_kept, has_kept
from ft_ops.archive.purge.remove import remove_content
from ft_ops.archive.purge.settle import SettledRemoval, settle
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.recorded.removal import claim_removal
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.pg.audit import write_audit
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Refreeze:
    """What became of a thawed month: segments removed, and the generation of what stays, if any.

    ``stopped`` says why it did not get to the end, if it did not.
    """

    thaw: Thaw
    segments: int
    next: Generation | None
    stopped: str = ""


def plan_refreeze(run: Run, thaw: Thaw) -> list[Gate]:
    """What must hold before thawed rows are removed; changes nothing.

    Refused while the thaw has not brought them yet.
    """
    if thaw.state not in TO_REFREEZE:
        raise Refused(
            f"refreeze of {thaw.name}",
            cause=f"its state is {thaw.state}: there is nothing yet to take out",
            next_step="wait until it has ended, or end it: ft-ops archive cancel --month "
            f"{thaw.month}",
        )
    return refreeze_gates(run, generations_of(run.connection, thaw))


def refreeze(run: Run, thaw: Thaw, throttle: Throttle) -> Refreeze:
    """End a thaw; goes on with one that a dead run was ending. Refused while a gate is closed.

    What is left of a month that came under a closed gate after its first batch is put back.
    """
    gates = plan_refreeze(run, thaw)
    if thaw.state == "thawed" and _is_replaced(run, thaw):
        return _all_stays(run, thaw, thawed_relation(run.connection, thaw))
    closed = [gate for gate in gates if not gate.passed]
    why = "; ".join(f"{gate.name}: {gate.detail}" for gate in closed)
    if closed and thaw.state != "refreezing":
        raise Refused(
            f"refreeze of {thaw.name}",
            cause=why,
            next_step="nothing was removed; open these gates first",
        )
    if thaw.content is None and thaw.state == "thawed":
        return _all_stays(run, thaw, thawed_relation(run.connection, thaw))
    table = thawed_relation(run.connection, thaw)
    with _units(run, thaw, table) as units:
        what = f"refreeze of {thaw.name}"
        refuse_absent(run, thaw.month, table, units, what)
        if not why and thaw.content is not None:
            claim_removal(run, generations_of(run.connection, thaw), what)
        thaw = record_table(run.connection, enter_thaw(run.connection, thaw, "refreezing"), table)
        detach_month(run.connection, ARCHIVED, thaw.month, log=run.log, sleep=run.sleep)
        removal = Removal(
            thaw.month,
            table,
            thaw.content or read_content(run.connection),
            units,
            thaw.purged,
            partial(record_refrozen, run.connection, thaw),
            thaw=thaw.id,
        )
        removed = (
            remove_content(run, removal, throttle)
            if not why and thaw.content is not None
            else Removed(0, 0, thaw.purged, why or "it is not known what was loaded")
        )
        return settle(
            run,
            removal,
            removed.done,
            partial(_close, run, thaw, removal, removed),
            keeps_table=in_database(run.connection, thaw.month) is not None,
        )


@contextmanager
def _units(run: Run, thaw: Thaw, table: Relation) -> Iterator[Units]:
    """What was loaded, by id. Of an earlier version's thaw only what it has removed is known."""
    units = units_of(thaw)
    if thaw.content is None:
        create_units(run.connection, units)
        derive_removed(run, units, table, thaw.purged)
    # Thaws of earlier versions have another index. The shared rows' table has one, and whoever
    # thaws a neighbouring month writes to it until his load ends.
    with_escalating_lock_timeout(
        run.connection,
        f"index of what {thaw.name} has brought back",
        lambda: index_segments(run.connection, units),
        sleep=run.sleep,
    )
    yield units


def _close(
    run: Run, thaw: Thaw, removal: Removal, removed: Removed, settled: SettledRemoval
) -> Refreeze:
    """Record the end of a removal, in the transaction that drops the table or replaces it."""
    keeps = removed.stopped != "" or has_kept(run, removal)
    forget_kept(run, removal)
    if settled.untouched and removed.stopped and not removed.tables_changed:
        back = record_untouched(run.connection, thaw)
        return Refreeze(back, 0, None, removed.stopped)
    following = None
    standing = in_database(run.connection, thaw.month)
    if settled.table is not None:
        following = _following(run, thaw, settled.table, standing, keeps=keeps)
    return Refreeze(_done(run, thaw, following), removed.segments, following, removed.stopped)


def _following(
    run: Run, thaw: Thaw, table: Relation, standing: Generation | None, *, keeps: bool
) -> Generation | None:
    """The generation of what stays; None when that is only one which was there before."""
    if standing is None:
        return open_archived(run.connection, thaw.month, table, run.run_id)
    if keeps:
        why = f"rows that {thaw.name} brought back have changed, and stay"
        standing = supersede(run.connection, standing, why, run.run_id)
    moved = record_relation(run.connection, standing, table.recorded)
    return moved if keeps else None


def _is_replaced(run: Run, thaw: Thaw) -> bool:
    """Whether an erasure has rewritten what was thawed, as after a recovery to before that."""
    return any(g.state == "superseded" for g in generations_of(run.connection, thaw))


def _all_stays(run: Run, thaw: Thaw, table: Relation) -> Refreeze:
    """The month as it is becomes the next generation.

    Nobody knows what of it has changed, or the archive that it came from was replaced: the one that
    stands for it may lack what was erased then and came back since.
    """
    with run.connection.transaction():
        standing = in_database(run.connection, thaw.month)
        following = _following(run, thaw, table, standing, keeps=True)
        return Refreeze(_done(run, thaw, following), 0, following)


def _done(run: Run, thaw: Thaw, following: Generation | None) -> Thaw:
    run.connection.execute(statement("archive/forget_waiting"), {"month": thaw.month.first_day})
    drop_units(run.connection, units_of(thaw))
    write_audit(
        run.connection,
        "archive.refreeze",
        archived_name(thaw.month),
        {
            "month": str(thaw.month),
            "thaw": thaw.id,
            "next_generation": following.number if following else None,
        },
    )
    return enter_thaw(
        run.connection,
        thaw,
        "done",
        done_at=sql.SQL("clock_timestamp()"),
        # The database takes an end from nobody who leaves it there.
        purged_through=sql.SQL("NULL"),
    )
