"""Removes a proven month from the database, in small steps, each row compared with its proof."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal
from uuid import UUID

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import ARCHIVED, archived_name
from ft_ops.archive.month.digest import differences, month_digests
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import (
    enter,
    finish,
    month_source,
    month_table,
    open_archived,
    record_relation,
    record_untouched,
    supersede,
)
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.units import drop_units
from ft_ops.archive.move.detach import detach_month
from ft_ops.archive.purge.gates import Gate, purge_gates
from ft_ops.archive.purge.proven import proven_units, refuse_absent, removed_units
from ft_ops.archive.purge.removal import Removal, Removed, forget_kept
from ft_ops.archive.purge.remove import remove_content
from ft_ops.archive.purge.settle import SettledRemoval, settle
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.recorded.removal import claim_removal
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.pg.audit import write_audit
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What a purge would do, and every gate.

    ``changed`` names how the tables of content are not what was proven; ``edited`` in which of them
    rows were, which then stay.
    """

    generation: Generation
    gates: tuple[Gate, ...]
    changed: tuple[str, ...]
    edited: tuple[str, ...] = ()

    @property
    def refusals(self) -> list[str]:
        return [f"{gate.name}: {gate.detail}" for gate in self.gates if not gate.passed]

    @property
    def in_the_way(self) -> str:
        return "; ".join([*self.refusals, *self.changed])

    @property
    def decision(self) -> Literal["refuse", "put back", "export again", "purge"]:
        if self.generation.state == "purging":
            return "put back" if self.refusals or self.changed else "purge"
        if self.refusals:
            return "refuse"
        return "export again" if self.changed else "purge"


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge did.

    What stays of the month is the generation ``next``; ``kept`` of it were looked at and were not
    what was proven. ``stopped`` says why it did not get to the end.
    """

    generation: Generation
    segments: int
    kept: int
    next: Generation | None
    stopped: str = ""


def plan_purge(run: Run, generation: Generation, *, compare: bool = False) -> PurgePlan:
    """Evaluate every gate; with ``compare``, also look how many rows were edited. Changes nothing.

    Edited rows are in nobody's way: the purge finds them one by one, and they stay.
    """
    gates = tuple(purge_gates(run, generation))
    if not all(gate.passed for gate in gates):
        return PurgePlan(generation, gates, ())
    content = generation.require_content()
    changed = tuple(content.differences(read_content(run.connection)))
    edited: tuple[str, ...] = ()
    if compare and not changed and generation.state != "purging":
        source = month_source(run.connection, generation, content)
        found = month_digests(run.connection, content, source, run.pace)
        edited = tuple(differences(generation.require_digests(), found))
    return PurgePlan(generation, gates, changed, edited)


def purge_month(run: Run, plan: PurgePlan, throttle: Throttle) -> Purge:
    """Carry out a plan whose decision is to purge, or to put back what a dead run left.

    The month is detached first, so that nobody edits it; then its keys go in batches, and their
    cascade takes what belongs to them; at last the table is dropped, or, where rows stay, they are
    attached again as the next generation.
    """
    if plan.decision not in {"purge", "put back"}:
        raise Refused(
            f"purge of {plan.generation.name}",
            cause=plan.in_the_way,
            next_step="open these gates first; nothing was removed",
        )
    goes_on = plan.decision == "purge"
    table = month_table(run.connection, plan.generation)
    with (proven_units if goes_on else removed_units)(run, plan.generation, table) as units:
        what = f"purge of {plan.generation.name}"
        refuse_absent(run, plan.generation.month, table, units, what)
        if goes_on:
            claim_removal(run, [plan.generation], what)
        generation = _begin(run, plan.generation, table)
        removal = Removal(
            generation.month,
            table,
            generation.require_content(),
            units,
            generation.purged,
            partial(_record, run, generation),
            generation=generation.number,
        )
        removed = (
            remove_content(run, removal, throttle)
            if goes_on
            else Removed(0, 0, generation.purged, "; ".join([*plan.refusals, *plan.changed]))
        )
        return settle(
            run,
            removal,
            removed.done,
            lambda settled: _close(run, generation, removal, removed, settled),
        )


def _begin(run: Run, generation: Generation, table: Relation) -> Generation:
    """Record that the removal begins, and detach the month."""
    generation = enter(run.connection, generation, "purging", run.run_id)
    generation = record_relation(run.connection, generation, table.recorded)
    month = generation.month
    write_audit(
        run.connection,
        "archive.purge.begin",
        archived_name(month),
        {"month": str(month), "generation": generation.number, "run": run.run_id},
    )
    detach_month(run.connection, ARCHIVED, month, log=run.log, sleep=run.sleep)
    return generation


def _record(run: Run, generation: Generation, through: UUID) -> None:
    """Note, in the transaction that removes them, up to which id segments are done."""
    run.connection.execute(
        statement("archive/record_purged"),
        {
            "month": generation.month.first_day,
            "generation": generation.number,
            "through": through,
        },
    )


def _close(
    run: Run, generation: Generation, removal: Removal, removed: Removed, settled: SettledRemoval
) -> Purge:
    """Record the end of a purge, in the transaction that drops the table or replaces it."""
    write_audit(
        run.connection,
        "archive.purge",
        archived_name(generation.month),
        {
            "month": str(generation.month),
            "generation": generation.number,
            "segments": removed.segments,
            "kept": removed.kept,
            "stopped": removed.stopped,
            "run": run.run_id,
        },
    )
    forget_kept(run, removal)
    # Here, and not only behind it: no run comes back to a month that is purged.
    drop_units(run.connection, removal.units)
    if settled.untouched:
        generation = record_untouched(run.connection, generation)
        if removed.stopped and not removed.kept:
            return Purge(generation, 0, 0, None, removed.stopped)
        following = supersede(
            run.connection, generation, "not one of its segments is what was proven", run.run_id
        )
        return Purge(generation, 0, removed.kept, following, removed.stopped)
    purged = finish(run.connection, generation, "purged")
    if settled.table is None:
        return Purge(purged, removed.segments, 0, None, removed.stopped)
    following = open_archived(run.connection, generation.month, settled.table, run.run_id)
    return Purge(purged, removed.segments, removed.kept, following, removed.stopped)
