"""Assets that prove backups by restoring them, and let go of those that nothing needs."""

import random
from collections.abc import Iterator, Sequence

import dagster as dg

from ft_ops.backups.drill.drill import Drill, run_drill
from ft_ops.backups.drill.plan import (
    DrillPlan,
    files_plan,
    moment_plan,
    named_plan,
    newest_plan,
    older_plan,
)
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import follow, take_inventory
from ft_ops.backups.providers import AfterDrill, Workplace, retention_rules
from ft_ops.backups.resources import (
    DrillConfig,
    RetentionConfig,
    at_work,
    plan_table,
)
from ft_ops.backups.retention.deletion import (
    delete_backups,
    deletions,
    plan_of,
    refuse_undecided,
)
from ft_ops.backups.retention.picture import ladder_picture
from ft_ops.clock import utc_now
from ft_ops.format import human_duration
from ft_ops.items import Failed, Worked, each
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.outcomes import Outcome, materialized_unless
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.locks import only_one
from ft_ops.settings import Settings


@dg.asset(
    deps=["full_backup", "incremental_backup"],
    group_name="backups",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "A backup restored on a server of its own, recovered to a named point, and checked row by "
        "row, index by index and block by block. Its certificate is what makes a backup verified. "
        "Then what was erased is deleted from the copy again, and nobody may be left in it."
    ),
)
def restore_drill(
    context: dg.AssetExecutionContext,
    config: DrillConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
    after_drill: dg.ResourceParam[AfterDrill],
) -> Iterator[dg.MaterializeResult[None]]:
    with at_work(database, settings) as work:
        follow(work.connection, work.provider, work.bucket, context.log.info)

        def hold(plan: DrillPlan) -> Drill:
            return run_drill(
                work.connection,
                work.provider,
                work.bucket,
                plan,
                now=utc_now(),
                run_id=context.run.run_id,
                log=context.log.info,
                next_step=after_drill(
                    work.connection, settings, context.run.run_id, context.log.info
                ),
            )

        plans = _plans(work, config)
        if len(plans) == 1:
            drills = [hold(plans[0])]
        else:
            held = each(plans, hold, name=lambda plan: f"drill of {plan.target.name}")
            held.refuse_failures("restore drills")
            drills = held.results
    # The backups are proven, whatever became of the erased in their copies.
    yield dg.MaterializeResult(metadata=_drill_metadata(drills))
    with as_failure():
        _refuse_problems(drills)


@dg.asset(
    deps=["restore_drill"],
    group_name="backups",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "Lets go of backups that no rule keeps: 7 days, 4 weeks and 12 months of verified fulls "
        "stay. Shows its plan first, and refuses while the newest verified full is stale or the "
        "log has a hole: the run fails where that keeps something which no rule keeps. What was "
        "verified once and is not now, it never touches."
    ),
)
def backup_retention(
    context: dg.AssetExecutionContext,
    config: RetentionConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Outcome]:
    with at_work(database, settings) as work, only_one(work.connection, "backup retention"):
        rules = retention_rules(work.settings)
        inventory = take_inventory(
            work.connection, work.provider, work.bucket, now=utc_now(), log=context.log.info
        )
        plan = plan_of(inventory, rules)
        chosen = deletions(inventory, plan, rules)
        for deletion in chosen:
            context.log.info("goes: %s, %s", deletion.item.name, deletion.reason)
        metadata: dict[str, dg.MetadataValue | str | int | list[str]] = {
            "plan": plan_table(plan),
            "ladder": dg.MetadataValue.md(ladder_picture(plan, inventory.taken_at)),
            "stay": len(inventory.items) - len(chosen),
            "go": [deletion.item.name for deletion in chosen],
            "refusal": plan.refusal or "none",
            "not judged": [f"{item.name}: {item.problem}" for item in inventory.broken],
        }
        if config.dry_run or not work.settings.backup_retention_apply:
            show_dry_run(context, metadata)
            return
        deleted = delete_backups(
            work.connection, work.provider, work.bucket, inventory, chosen, context.log.info
        )
    with as_failure():
        yield from materialized_unless(
            context,
            {**metadata, "deleted": len(deleted.done)},
            lambda: deleted.refuse_failures("backup retention"),
            inventory.refuse_lost_refutations,
            lambda: refuse_undecided(plan),
        )


def _plans(work: Workplace, config: DrillConfig) -> Sequence[DrillPlan]:
    entries = ledger.entries(work.connection)
    by_log = work.provider.recovers_by_log
    if config.backup:
        return [named_plan(entries, config.backup, by_log=by_log)]
    if config.older:
        return [older_plan(entries, random.SystemRandom())]
    newest = newest_plan(entries, by_log=by_log)
    besides = files_plan(entries) if by_log else moment_plan(entries)
    return [newest] if besides is None else [newest, besides]


def _refuse_problems(drills: Sequence[Drill]) -> None:
    problems = [d.aftermath.problem for d in drills if d.aftermath and d.aftermath.problem]
    failed = tuple(Failed(problem.what, problem.cause, problem.next_step) for problem in problems)
    Worked(tuple((d.plan.target.name, d) for d in drills), failed).refuse_failures(
        "what follows a drill"
    )


def _drill_metadata(
    drills: Sequence[Drill],
) -> dict[str, dg.MetadataValue | str | int | float]:
    """What the first drill showed; the second is of an increment, where that needs one."""
    drill = drills[0]
    return {
        "backup": drill.source.backup or drill.plan.target.name,
        "restored from": drill.source.words,
        "restored to": drill.plan.target.name,
        "everything committed before": f"{drill.restored_to:%F %T}Z",
        "recovery time": human_duration(drill.recovery_seconds),
        "what would be lost": f"{human_duration(drill.loss_seconds)} of changes",
        "dagster/row_count": drill.rows,
        "checks": table(
            ["check", "examined", "unit", "seconds", "findings", "not looked at"],
            (
                (
                    check.check,
                    check.examined,
                    check.unit,
                    check.seconds,
                    len(check.findings),
                    "; ".join(check.unsaid),
                )
                for check in drill.checks
            ),
        ),
        "certificate": drill.certificate,
        **{f"after {d.plan.target.name}": d.aftermath.words for d in drills if d.aftermath},
        **{f"besides, to {d.plan.target.name}": d.certificate for d in drills[1:]},
    }
