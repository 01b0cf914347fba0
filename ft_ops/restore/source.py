"""Where a copy comes from: the newest fitting backup, restored in isolation, or the archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ft_ops.archive import (
    TIERS,
    Prices,
    Run,
    ThawEstimate,
    ask_for,
    cold_parts,
    month_beside,
    proven_generations,
    refuse_cold,
)
from ft_ops.backups import Workplace, restored_copy
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.restore.plan import RestorePlan
from ft_ops.restore.read.archived import ArchivedSide
from ft_ops.restore.read.sides import Side
from ft_ops.restore.restore import restore_subject
from ft_ops.restore.subject import Decisions, Subject
from ft_ops.s3.glacier import Tier


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a person has chosen: a point of the backups, or a month of the archive.

    ``tier``: what is in Glacier is asked for, by that tier.
    """

    at: str
    month: Month | None
    tier: Tier | None


def choose(at: str, from_archive: str, ask_glacier: str) -> Chosen:
    """The source as it was typed; Refused when two are named, or a tier that Glacier has not."""
    month = Month.parse(from_archive) if from_archive else None
    tier = next((tier for tier in TIERS if tier == ask_glacier), None)
    problem = None
    if month is not None and at:
        problem = "it names a point of the backups and a month of the archive", "name one of them"
    elif ask_glacier and month is None:
        problem = "only an archived month is in Glacier", "name it: --from-archive 2017-03"
    elif ask_glacier and tier is None:
        problem = f"there is no tier {ask_glacier!r}", f"choose {', '.join(TIERS)}"
    if problem is not None:
        raise Refused("restore", cause=problem[0], next_step=problem[1])
    return Chosen(at, month, tier)


def restore_from_backup(
    work: Workplace,
    subject: Subject,
    at: str,
    *,
    decisions: Decisions,
    apply: bool,
    run_id: str,
    log: Callable[[str], None],
) -> RestorePlan:
    """Restore a backup to a point, and compare or bring back ``subject`` from there.

    ``at`` is a backup's name, a moment, or empty for the newest point.
    """
    with restored_copy(work, at, log) as copy:
        plan = restore_subject(
            Side.of(copy.connection),
            work.connection,
            subject,
            source=f"{copy.point} ({copy.source})",
            as_of=copy.at,
            decisions=decisions,
            apply=apply,
            run_id=run_id,
        )
    log(f"{subject}: {plan.inserts} rows {'inserted' if apply else 'to insert'}")
    return plan


def restore_from_archive(
    run: Run,
    live: Connection,
    subject: Subject,
    month: Month,
    *,
    tier: Tier | None,
    prices: Prices,
    decisions: Decisions,
    apply: bool,
) -> RestorePlan | ThawEstimate:
    """Compare or bring back ``subject`` from what is archived of a month.

    With a ``tier``, Glacier is asked for what can't be read, and what that takes is returned;
    without one that is Refused, with the price. ``run`` has a connection of its own, which loads
    the month beside and holds its lock: no purge, thaw or erasure of it is at work meanwhile.
    """
    with only_one(run.connection, f"archive {month}"):
        found = proven_generations(run, month)
        cold = cold_parts(run, found)
        if cold.unasked and tier is not None:
            return ask_for(run, month, cold, tier, prices)
        refuse_cold(run, month, cold, prices)
        with month_beside(run, found) as beside:
            plan = restore_subject(
                ArchivedSide.beside(run.connection, beside),
                live,
                subject,
                source=f"the archive ({', '.join(beside.generations)})",
                as_of=beside.as_of,
                decisions=decisions,
                apply=apply,
                run_id=run.run_id,
            )
    run.log(f"{subject}: {plan.inserts} rows {'inserted' if apply else 'to insert'}")
    return plan
