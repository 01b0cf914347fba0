"""What the backups' Dagster definitions share: launch configs, the open provider, check results."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from ft_ops.backups.inventory.inventory import Inventory, Item
from ft_ops.backups.inventory.objectives import Promise
from ft_ops.backups.provider import Taken
from ft_ops.backups.providers import Workplace, open_workplace
from ft_ops.backups.retention.retention import RetentionPlan
from ft_ops.format import human_bytes, human_duration
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings


class DrillConfig(dg.Config):
    """Launch config of a drill."""

    backup: str = Field(
        default="",
        description="A full or an increment by its name in backup_inventory. Empty: the newest "
        "full, to the newest point behind it.",
    )
    older: bool = Field(
        default=False,
        description="Choose a full at random, any but the newest. Ignored when a backup is named.",
    )


class RetentionConfig(dg.Config):
    """Launch config of what deletes backups: by hand it is a dry run unless you say otherwise."""

    dry_run: bool = Field(
        default=True,
        description="Only look: show the plan and delete nothing. The schedule turns this off; "
        "FT_BACKUP_RETENTION_APPLY must be true besides.",
    )


@contextmanager
def at_work(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> Iterator[Workplace]:
    """The open database, provider and bucket; an OpsError in the block fails the run."""
    with as_failure(), database.connect("backups") as connection:
        yield open_workplace(settings, connection)


def check_results(promises: Iterable[Promise], asset: str) -> list[dg.AssetCheckResult]:
    """Promises as the results of an asset's checks."""
    return [
        dg.AssetCheckResult(
            passed=promise.is_kept,
            asset_key=asset,
            check_name=promise.name,
            severity=dg.AssetCheckSeverity[promise.severity],
            description=promise.description,
            metadata={"broken": list(promise.broken)},
        )
        for promise in promises
    ]


def taken_metadata(taken: Taken) -> dict[str, dg.MetadataValue | str | int | list[str]]:
    """What was taken, and the point that it can be restored to."""
    return {
        "backup": taken.point.name,
        "everything committed before": f"{taken.point.at:%F %T}Z",
        "location": taken.stored.location,
        "bytes": human_bytes(taken.stored.bytes),
        "segment": taken.point.mark.wal,
        "position": taken.point.mark.lsn,
        "dagster/row_count": taken.point.rows,
        "tables": len(taken.point.tables),
        "rested beside the application": human_duration(taken.rested_seconds),
        "tables that changed in that moment": list(taken.point.changing),
    }


def trust_of(item: Item) -> str:
    """What drills have shown of a backup, with the one that came to no verdict."""
    entry = item.entry
    if entry is not None and entry.undecided is not None:
        return f"{item.trust}; its last drill is unknown: {entry.undecided}"
    return item.trust


def inventory_table(inventory: Inventory) -> dg.MetadataValue:
    """The inventory, newest first."""
    columns = ["backup", "kind", "taken at", "age h", "bytes", "verified", "storage", "copy"]
    return table(
        [*columns, "held", "problem", "location"],
        (
            (
                item.name,
                item.kind,
                f"{item.taken_at:%F %T}Z" if item.taken_at else None,
                round((inventory.taken_at - item.taken_at).total_seconds() / 3600, 1)
                if item.taken_at
                else None,
                item.bytes,
                trust_of(item),
                ", ".join(item.storage_classes),
                None if item.replica is None else item.replica.problem or item.replica.location,
                item.is_held,
                item.problem,
                item.location,
            )
            for item in reversed(inventory.items)
        ),
    )


def plan_table(plan: RetentionPlan) -> dg.MetadataValue:
    """The plan, newest first: what stays and why, and what goes."""
    return table(
        ["backup", "kind", "taken at", "trust", "verdict", "because"],
        (
            (
                decision.candidate.name,
                decision.candidate.kind,
                f"{decision.candidate.taken_at:%F %T}Z",
                decision.candidate.trust,
                "stays" if decision.is_kept else "goes",
                "; ".join(decision.reasons) or "no rule keeps it",
            )
            for decision in reversed(plan.decisions)
        ),
    )
