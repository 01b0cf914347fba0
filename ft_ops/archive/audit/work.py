"""A day's work on the audit log's months: back, into the archive, out of the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ft_ops.archive.audit.keep import record_audit_generations, unrecorded_months
from ft_ops.archive.audit.months import (
    LEDGER,
    archive_audit_month,
    due_audit_months,
)
from ft_ops.archive.audit.purge import AuditPurgePlan, plan_audit_purge, purge_audit_month
from ft_ops.archive.audit.thaw import (
    answer_of_glacier,
    ask_for_audit_month,
    asked_audit_months,
    bring_back,
)
from ft_ops.archive.month.in_states import all_in_states
from ft_ops.archive.month.ledger import in_database
from ft_ops.archive.month.states import TO_PURGE, month_words
from ft_ops.archive.run import Run
from ft_ops.items import Worked, each
from ft_ops.months import Month
from ft_ops.pg.connect import takes_statements
from ft_ops.pg.locks import only_one
from ft_ops.s3.glacier import Tier


@dataclass(frozen=True, slots=True)
class WorkedMonth:
    """What became of one month, in words."""

    month: Month
    did: Literal["asked for", "not readable yet", "brought back", "archived", "left alone", "purge"]
    detail: str


def work_on_audit_months(
    run: Run, wanted: Sequence[Month], *, days: int, tier: Tier
) -> Worked[WorkedMonth]:
    """Do what is due; ``wanted`` are months that are to come back, for so many days.

    First what comes back, so that a month that was asked for is not purged; then what is due is
    archived; then what may leave is purged. A month that fails stops no other.
    """
    asked = dict(asked_audit_months(run.connection)) | dict.fromkeys(wanted, days)
    back = _each(run, list(asked), lambda month: _bring_back(run, month, asked, wanted, tier))
    due = due_audit_months(run.connection, run.rules.retention_years, run.clock())
    due = [month for month in due if month not in asked]
    archived = _each(run, due, lambda month: _archive(run, month))
    # The bucket knows of each proof before the rows that it is about may go.
    record_audit_generations(run)
    staying = {*asked, *unrecorded_months(run.connection)}
    leaving = [month for month in purgeable(run) if month not in staying]
    purged = _each(run, leaving, lambda month: _purge(run, month))
    recorded = record_audit_generations(run)
    return Worked(
        (*back.done, *archived.done, *purged.done),
        (*back.failed, *archived.failed, *purged.failed, *recorded.failed),
    )


def purgeable(run: Run) -> list[Month]:
    """The months that are proven and in the database, or whose purge has begun, oldest first."""
    return [generation.month for generation in all_in_states(run.connection, TO_PURGE, LEDGER)]


def plans(run: Run) -> Mapping[Month, AuditPurgePlan]:
    """What a purge of each month would decide now; changes nothing."""
    found = {}
    for month in purgeable(run):
        generation = in_database(run.connection, month, LEDGER)
        if generation is not None:
            found[month] = plan_audit_purge(run, generation)
    return found


def _bring_back(
    run: Run, month: Month, asked: Mapping[Month, int], wanted: Sequence[Month], tier: Tier
) -> WorkedMonth:
    if month in wanted:
        ask_for_audit_month(run, month, days=asked[month], tier=tier)
    said = answer_of_glacier(run, month)
    if said == "readable":
        back = bring_back(run, month, days=asked[month])
        return WorkedMonth(month, "brought back", f"{back.rows:,} rows, for {asked[month]} days")
    if said == "expired" and month not in wanted:
        ask_for_audit_month(run, month, days=asked[month], tier=tier)
        detail = "its readable copy had expired before it was loaded; Glacier was asked again"
        return WorkedMonth(month, "asked for", detail)
    did: Literal["asked for", "not readable yet"] = (
        "asked for" if month in wanted else "not readable yet"
    )
    return WorkedMonth(month, did, "Glacier has not answered; the next day's run goes on")


def _archive(run: Run, month: Month) -> WorkedMonth:
    before = in_database(run.connection, month, LEDGER)
    generation = archive_audit_month(run, month)
    is_new = before is None or before != generation
    detail = f"{generation.name}: {generation.state}, {sum(generation.rows.values()):,} rows"
    return WorkedMonth(month, "archived" if is_new else "left alone", detail)


def _purge(run: Run, month: Month) -> WorkedMonth:
    generation = in_database(run.connection, month, LEDGER)
    if generation is None:
        return WorkedMonth(month, "left alone", "it is purged")
    done = purge_audit_month(run, plan_audit_purge(run, generation))
    return WorkedMonth(month, "purge", f"{done.outcome}; {done.why}" if done.why else done.outcome)


def _each(
    run: Run, months: Sequence[Month], work: Callable[[Month], WorkedMonth]
) -> Worked[WorkedMonth]:
    """Each month under its lock."""

    def locked(month: Month) -> WorkedMonth:
        with only_one(run.connection, f"archive {month_words(month, LEDGER)}"):
            return work(month)

    return each(
        months,
        locked,
        name=lambda month: month_words(month, LEDGER),
        log=run.log,
        usable=lambda: takes_statements(run.connection),
    )
