"""What became of last night's copy under the next major version, and the check of it."""

import dagster as dg
from pydantic import Field

from ft_ops.backups import open_workplace
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.rehearsal.certificate import QUERIES, Rehearsal, finding_rows, query_rows
from ft_ops.rehearsal.rehearsal import RehearsalRules, rehearse_upgrade
from ft_ops.settings import Settings

# MaterializeResult stands bare below: with check_specs, Dagster takes no subscripted annotation.

_CHECK = "upgrade_rehearsed"


class RehearsalConfig(dg.Config):
    """Launch config of a rehearsal. It changes nothing, so there is no dry run."""

    at: str = Field(
        default="",
        description="A backup's name in backup_inventory, or a moment such as 2026-11-24T18:00Z: "
        "the newest point before it. Empty: the newest.",
    )


@dg.asset(
    group_name="rehearsal",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    check_specs=[
        dg.AssetCheckSpec(
            _CHECK,
            asset="upgrade_rehearsal",
            description="The next major version takes the copy, and every row came out as it was.",
        )
    ],
    description=(
        "Last night's copy through pg_upgrade to the next major version, in a folder of its own: "
        "what refuses it, what has to be done, the seconds that the real one would be down, every "
        "fingerprint compared again, and the product's queries before and after."
    ),
)
def upgrade_rehearsal(
    context: dg.AssetExecutionContext,
    config: RehearsalConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    rules = RehearsalRules(
        settings.upgrade_bin_dir, settings.app_role, settings.backup_timeout_minutes * 60
    )
    with as_failure(), database.connect("rehearsal") as connection:
        work = open_workplace(settings, connection)
        rehearsal, address = rehearse_upgrade(work, config.at, rules, context.log.info)
    return dg.MaterializeResult(
        metadata={**rehearsal_metadata(rehearsal), "certificate": address},
        check_results=[
            dg.AssetCheckResult(
                check_name=_CHECK,
                passed=rehearsal.verdict == "works",
                severity=dg.AssetCheckSeverity.WARN,
                description=rehearsal.sentence,
                metadata={"verdict": rehearsal.verdict},
            )
        ],
    )


def rehearsal_metadata(rehearsal: Rehearsal) -> dict[str, dg.MetadataValue | str | int | float]:
    """A rehearsal as it is looked at in the UI."""
    found: dict[str, dg.MetadataValue | str | int | float] = {
        "result": rehearsal.sentence,
        "point": f"{rehearsal.point} ({rehearsal.source})",
        "findings": table(["weight", "kind", "subject", "what to do"], finding_rows(rehearsal)),
        "queries": table(QUERIES, query_rows(rehearsal)),
        "changed defaults": table(["setting", "before", "after"], rehearsal.defaults),
        "kept within its folder by": rehearsal.held_by,
    }
    if rehearsal.seconds is not None and rehearsal.sizes is not None:
        took = rehearsal.seconds
        found["steps"] = table(
            ["step", "seconds", "the database is away"],
            [
                ("stop", took.stop, True),
                ("pg_upgrade --link", took.upgrade, True),
                ("start", took.start, True),
                ("ANALYZE", took.analyze, False),
            ],
        )
        found["seconds down"] = round(took.down, 1)
        found["rows compared"] = rehearsal.rows
        found["tables compared"] = rehearsal.tables
        found["size"] = table(
            ["", "bytes"], [("before", rehearsal.sizes.before), ("after", rehearsal.sizes.after)]
        )
    return found
