"""Where a copy comes from: the newest fitting backup, restored in isolation."""

from __future__ import annotations

from collections.abc import Callable

from ft_ops.backups import Workplace, restored_copy
from ft_ops.restore.plan import RestorePlan
from ft_ops.restore.read.sides import Side
from ft_ops.restore.restore import restore_subject
from ft_ops.restore.subject import Decisions, Subject


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
