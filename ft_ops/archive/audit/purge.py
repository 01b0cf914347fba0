"""Removes a proven month of the audit log from the database: the whole table, or none of its rows.

The table is detached first, so that nobody waits for what follows. Then, in one transaction and
under a lock that nobody else wants any more, its rows are digested, compared with the proof, and
dropped. Where they are not what was proven, the table is attached again and exported anew. Killed
between the two, the next run finds the table by the ledger and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql

from ft_ops.archive.audit.months import (
    AUDIT_LOG,
    audit_content,
    bounds_of,
    holds_on_audit,
    kept_until,
    source_of,
    table_of,
)
from ft_ops.archive.month.digest import differences, month_digests
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import (
    enter,
    finish,
    record_relation,
    record_untouched,
    supersede,
)
from ft_ops.archive.month.relation import Relation, attached_relation
from ft_ops.archive.month.states import TO_PURGE
from ft_ops.archive.purge.gates import Gate, audit_gates
from ft_ops.archive.recorded.removal import claim_removal
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.pg.audit import write_audit
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class AuditPurgePlan:
    """Every gate, and how the table is not what was proven."""

    generation: Generation
    gates: tuple[Gate, ...]
    changed: tuple[str, ...] = ()

    @property
    def refusals(self) -> list[str]:
        return [f"{gate.name}: {gate.detail}" for gate in self.gates if not gate.passed]

    @property
    def decision(self) -> Literal["wait", "put back", "export again", "purge"]:
        if self.refusals:
            return "put back" if self.generation.state == "purging" else "wait"
        return "export again" if self.changed else "purge"


@dataclass(frozen=True, slots=True)
class AuditPurge:
    """What became of a month. ``why`` it is not purged, or in which way its rows had changed."""

    generation: Generation
    outcome: Literal["waits", "put back", "exported again", "purged"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Why the table was not dropped: somebody holds rows of it, or they are not the proven ones."""

    why: str
    is_held: bool


def plan_audit_purge(run: Run, generation: Generation) -> AuditPurgePlan:
    """Evaluate every gate; changes nothing."""
    if generation.state not in TO_PURGE:
        gate = Gate("proven and frozen", False, f"{generation.name} is {generation.state}")
        return AuditPurgePlan(generation, (gate,))
    table = table_of(run, generation)
    holds = holds_on_audit(run.connection, generation.month, table)
    gates = (*audit_gates(run, generation, holds), _not_brought_back(run, generation))
    now = audit_content(run.connection)
    return AuditPurgePlan(generation, gates, tuple(generation.require_content().differences(now)))


def purge_audit_month(run: Run, plan: AuditPurgePlan) -> AuditPurge:
    """Do what a plan has decided. The caller holds the month's advisory lock."""
    generation = plan.generation
    if plan.decision == "wait":
        return AuditPurge(generation, "waits", "; ".join(plan.refusals))
    if plan.decision == "put back":
        back = _put_back(run, generation, table_of(run, generation))
        return AuditPurge(back, "put back", "; ".join(plan.refusals))
    if plan.decision == "export again":
        if generation.state == "purging":
            generation = _put_back(run, generation, table_of(run, generation))
        why = "; ".join(plan.changed)
        return AuditPurge(
            supersede(run.connection, generation, why, run.run_id), "exported again", why
        )
    table = table_of(run, generation)
    claim_removal(run, [generation], f"purge of {generation.name}")
    generation = enter(run.connection, generation, "purging", run.run_id)
    generation = record_relation(run.connection, generation, table.recorded)
    _detach(run, generation)
    return _remove(run, generation, table_of(run, generation))


def _not_brought_back(run: Run, generation: Generation) -> Gate:
    until = kept_until(run.connection, generation)
    if until is None:
        return Gate("brought back", True, "no")
    return Gate("brought back", run.clock() >= until, f"until {until:%Y-%m-%d %H:%M} UTC")


def _detach(run: Run, generation: Generation) -> None:
    """DETACH CONCURRENTLY, or the end of one that was left pending; nothing when it stands alone.

    It can't be in a transaction: what is about to be done is in the audit log before.
    """
    month, connection = generation.month, run.connection

    def detach() -> None:
        found = attached_relation(connection, AUDIT_LOG, month)
        if found is not None:
            step = "archive/finalize_detach" if found.is_detaching else "archive/detach"
            connection.execute(
                statement(step).format(parent=sql.Identifier(AUDIT_LOG), partition=found.identifier)
            )

    if attached_relation(connection, AUDIT_LOG, month) is not None:
        write_audit(connection, "archive.detach", AUDIT_LOG, {"month": str(month)})
        with_escalating_lock_timeout(
            connection, f"detach of {generation.name}", detach, sleep=run.sleep
        )


def _remove(run: Run, generation: Generation, table: Relation) -> AuditPurge:
    """Drop the table if its rows are the proven ones and nobody holds them, in one transaction."""
    connection = run.connection
    what = f"purge of {generation.name}"

    def remove() -> AuditPurge | _Kept:
        with connection.transaction():
            connection.execute(statement("archive/lock_alone").format(table=table.identifier))
            if changed := _differences(run, generation, table):
                return _Kept("; ".join(changed), is_held=False)
            # At the end: whoever places a hold waits for this transaction from here on.
            connection.execute(statement("archive/no_hold_meanwhile"))
            if holds := holds_on_audit(connection, generation.month, table):
                return _Kept(f"legal holds: {'; '.join(map(str, holds))}", is_held=True)
            write_audit(
                connection,
                "archive.purge",
                table.name,
                {
                    "month": str(generation.month),
                    "generation": generation.number,
                    "rows": generation.rows.get(AUDIT_LOG, 0),
                },
            )
            connection.execute(statement("archive/drop_purged").format(table=table.identifier))
            return AuditPurge(finish(connection, generation, "purged"), "purged")

    try:
        done = with_escalating_lock_timeout(connection, what, remove, sleep=run.sleep)
    except psycopg.errors.DependentObjectsStillExist as error:
        # Its rows were out of sight for as long as that stands.
        _put_back(run, generation, table)
        raise Refused(
            what,
            cause=" ".join(str(error).split("\n")[:2]),
            next_step=f"let it read {AUDIT_LOG} instead, or drop it; the month is where it was",
        ) from error
    if isinstance(done, AuditPurge):
        run.log(f"{generation.name} is purged")
        return done
    generation = _put_back(run, generation, table)
    if done.is_held:
        return AuditPurge(generation, "put back", done.why)
    run.log(f"{done.why}: it is exported again")
    return AuditPurge(
        supersede(run.connection, generation, done.why, run.run_id), "exported again", done.why
    )


def _differences(run: Run, generation: Generation, table: Relation) -> list[str]:
    content = generation.require_content()
    found = month_digests(run.connection, content, source_of(content, table))
    return differences(generation.require_digests(), found)


def _put_back(run: Run, generation: Generation, table: Relation) -> Generation:
    """Attach the table again, unchanged, if it was detached; the generation is frozen again."""
    month, connection = generation.month, run.connection
    # What is pending can't be attached; ended, it can.
    if (found := attached_relation(connection, AUDIT_LOG, month)) is None or found.is_detaching:
        _detach(run, generation)

        def attach() -> None:
            with connection.transaction():
                connection.execute(statement("archive/attach").format(**bounds_of(table, month)))
                write_audit(connection, "archive.attach", table.name, {"month": str(month)})

        with_escalating_lock_timeout(
            connection, f"attach of {generation.name}", attach, sleep=run.sleep
        )
    return record_untouched(connection, generation)
