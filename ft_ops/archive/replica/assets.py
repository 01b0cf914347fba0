"""The asset of the archive's second copy."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.replica.fill import READABLE_DAYS, Lacking, fill, lacking, lacking_documents
from ft_ops.archive.run import archive_run
from ft_ops.archive.thaw.retrieval_cost import estimate_objects
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings


class FillConfig(dg.Config):
    """Launch config of the job that fills the second bucket."""

    dry_run: bool = Field(
        default=False, description="Only look: show what is lacking, and what retrieving it costs."
    )
    retrieve: bool = Field(
        default=False,
        description="Ask Glacier (Bulk) for what can't be read and is lacking. It costs what the "
        "dry run says; without this such objects are named, and the run fails.",
    )


@dg.asset(
    deps=["content_archive"],
    group_name="archive",
    kinds={"s3"},
    owners=OWNERS,
    output_required=False,
    description=(
        "The archive in its second bucket: every object of each kept generation, and every record "
        "and manifest. A month's content is copied there while it is frozen; this copies what is "
        "lacking all the same, by what the ledger names, and writes nothing over."
    ),
)
def archive_replica(
    context: dg.AssetExecutionContext,
    config: FillConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    if config.dry_run and settings.archive_replica_bucket is None:
        show_dry_run(context, {"second bucket": "FT_ARCHIVE_REPLICA_BUCKET is not set"})
        return
    with as_failure(), database.connect("second copy") as connection:
        run = archive_run(connection, settings, context.run.run_id, context.log.info)
        if config.dry_run:
            show_dry_run(context, _shown(lacking(run), len(lacking_documents(run)), settings))
            return
        filled = fill(run, retrieve=config.retrieve)
    metadata = {"objects copied": sum(filled.results)}
    if filled.failed:
        context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=metadata))
        with as_failure():
            filled.refuse_failures("second copy of the archive")
    yield dg.MaterializeResult(metadata=metadata)


def _shown(
    found: list[Lacking], documents: int, settings: Settings
) -> dict[str, dg.MetadataValue | int | float]:
    waiting = [item.stored for item in found if not item.readable]
    prices = load_prices(settings.archive_prices_file)
    estimate = estimate_objects(waiting, "Bulk", READABLE_DAYS, prices)
    rows = [(i.generation, i.stored.key, i.stored.bytes, i.readable) for i in found]
    return {
        "lacking": table(["generation", "object", "bytes", "readable now"], rows),
        "records and manifests lacking": documents,
        "dollars to retrieve": estimate.dollars,
        "longest hours": estimate.longest_hours,
    }
