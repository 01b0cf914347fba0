"""Assets of erasure inside archives: what was erased is rewritten away, what is replaced goes."""

from collections.abc import Iterator, Sequence

import dagster as dg
from pydantic import Field

from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.erase.plan import ErasurePlan, plan_erasures
from ft_ops.archive.erase.superseded import remove_superseded, superseded_objects
from ft_ops.archive.month.ledger import supersede
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.replica.compare import remove_returned
from ft_ops.archive.resources import DryRunOn, one_of_several, paced
from ft_ops.archive.run import Run, archive_run
from ft_ops.archive.thaw.retrieval_cost import estimate_thaw
from ft_ops.archive.thaw.thaw import ThawRequest, begin, is_readable
from ft_ops.archive.thaw_assets import tier_of
from ft_ops.errors import Refused
from ft_ops.items import Failed, Worked, each
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings


class EraseConfig(dg.Config):
    """Launch config of the erasure job."""

    dry_run: bool = Field(
        default=True, description="Only show which months hold erased content, and the cost."
    )
    tier: str = Field(default="Bulk", description="Glacier's tier: Bulk, Standard or Expedited.")


@dg.asset(
    deps=["content_archive"],
    group_name="archive",
    kinds={"s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "Archives without what was erased from the database: months that hold content of deleted "
        "users, families or threads are asked back, rewritten without it, proven, and their old "
        "versions removed, unless a legal hold forbids it. Months whose rows are still in the "
        "database are exported again."
    ),
)
def erased_archive_content(
    context: dg.AssetExecutionContext,
    config: EraseConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    with as_failure(), database.connect("erasure") as connection:
        run = archive_run(connection, settings, context.run.run_id, context.log.info)
        plans = plan_erasures(connection, run.bucket)
        shown = {"months": _plans_table(plans, config, settings)}
    if config.dry_run:
        show_dry_run(context, shown)
        with as_failure():
            _with_unknown(plans, ()).refuse_failures("erasure inside archives")
        return
    collected = _collect(context, database, settings)
    worked = each(
        [plan for plan in plans if plan.problem is None and not plan.holds],
        lambda plan: _erase(context, config, database, settings, plan),
        name=lambda plan: f"erasure of {plan.month}",
        log=context.log.error,
    )
    # Once more: the generations that were just replaced.
    again = _collect(context, database, settings)
    metadata: dict[str, dg.MetadataValue | int] = {
        **shown,
        "outcomes": dg.MetadataValue.json(dict(worked.done)),
        "versions removed": sum(collected.results) + sum(again.results),
    }
    whole = _with_unknown(plans, (*worked.failed, *again.failed))
    if whole.failed:
        context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=metadata))
        with as_failure():
            whole.refuse_failures("erasure inside archives")
    yield dg.MaterializeResult(metadata=metadata)


@dg.asset(
    deps=["content_archive"],
    group_name="archive",
    kinds={"s3"},
    owners=OWNERS,
    output_required=False,
    description=(
        "The bucket without what another version replaces: objects of superseded generations, once "
        "the generation that replaces them is frozen, and versions that a retention kept when they "
        "were replaced. Nothing that a legal hold holds goes, and of the audit log nothing whose "
        "rows are not all proven in the generation that replaces it."
    ),
)
def superseded_archive_content(
    context: dg.AssetExecutionContext,
    config: DryRunOn,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    if config.dry_run:
        with as_failure(), database.connect("superseded archives") as connection:
            rows = [(g.name, len(g.objects), g.bytes) for g, _ in superseded_objects(connection)]
        show_dry_run(context, {"would be removed": table(["generation", "objects", "bytes"], rows)})
        return
    removed = _collect(context, database, settings)
    metadata = {"versions removed": sum(removed.results)}
    if removed.failed:
        context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=metadata))
        with as_failure():
            removed.refuse_failures("superseded archives")
    yield dg.MaterializeResult(metadata=metadata)


def _with_unknown(plans: Sequence[ErasurePlan], failed: Sequence[Failed]) -> Worked[str]:
    """What failed of an erasure, with the months of which it can't be told what they hold."""
    return Worked((), (*(plan.problem for plan in plans if plan.problem is not None), *failed))


def _collect(
    context: dg.AssetExecutionContext, database: DatabaseResource, settings: Settings
) -> Worked[int]:
    with as_failure(), database.connect("superseded archives") as connection:
        run = archive_run(connection, settings, context.run.run_id, context.log.info)
        removed, returned = remove_superseded(run), remove_returned(run)
    return Worked((*removed.done, *returned.done), (*removed.failed, *returned.failed))


def _erase(
    context: dg.AssetExecutionContext,
    config: EraseConfig,
    database: DatabaseResource,
    settings: Settings,
    plan: ErasurePlan,
) -> str:
    """Do what one month needs; in words, what was done."""
    done = []
    with one_of_several(context, database, settings, plan.month) as run:
        if plan.renewed:
            done.append(_renew(run, database, plan))
        if plan.generations:
            done.append(_rewrite(run, config, settings, plan))
        if plan.collected:
            done.append(f"{len(plan.collected)} replaced generations collected")
    return "; ".join(done)


def _renew(run: Run, database: DatabaseResource, plan: ErasurePlan) -> str:
    """Export rows that are in the database again, now that the erased ones are not among them."""
    thaw = open_thaw(run.connection, plan.month)
    if thaw is not None and thaw.purpose == "thaw":
        raise Refused(
            f"erasure of {plan.month}",
            cause=f"{thaw.name} is under way, {thaw.state}",
            next_step="wait until it is done, or end it: ft-ops archive cancel --month "
            f"{plan.month}",
        )
    renewed = []
    for generation in plan.renewed:
        why = "it holds what was erased since"
        following = supersede(run.connection, generation, why, run.run_id)
        with paced(run, database) as beside:
            renewed.append(archive_content(beside, following).name)
    return f"exported again as {', '.join(renewed)}"


def _rewrite(run: Run, config: EraseConfig, settings: Settings, plan: ErasurePlan) -> str:
    request = ThawRequest(plan.month, None, tier_of(config.tier, plan.month), 1)
    thaw = begin(run, request, load_prices(settings.archive_prices_file), purpose="erasure")
    if not is_readable(run.connection, run.target, thaw):
        return "asked Glacier; the sensor thaws_in_progress goes on from here"
    done = erase_month(run, thaw)
    return f"rewritten as {done.names}, without {dict(done.erased)}"


def _plans_table(
    plans: Sequence[ErasurePlan], config: EraseConfig, settings: Settings
) -> dg.MetadataValue:
    columns = ["month", "what", "erased segments", "bytes", "dollars", "longest hours", "held by"]
    return table(columns, [_plan_row(plan, config, settings) for plan in plans])


def _plan_row(
    plan: ErasurePlan, config: EraseConfig, settings: Settings
) -> tuple[str, str, int, int, float, float, str]:
    estimate = estimate_thaw(
        list(plan.generations),
        tier_of(config.tier, plan.month),
        1,
        load_prices(settings.archive_prices_file),
    )
    what = [
        f"{words} {', '.join(str(g.number) for g in generations)}"
        for words, generations in (
            ("rewrite", plan.generations),
            ("export again", plan.renewed),
            ("collect", plan.collected),
        )
        if generations
    ]
    return (
        str(plan.month),
        "; ".join(what),
        plan.segments,
        estimate.bytes,
        estimate.dollars,
        estimate.longest_hours,
        str(plan.problem) if plan.problem else "; ".join(plan.holds),
    )
