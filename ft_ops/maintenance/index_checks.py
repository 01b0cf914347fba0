"""Checks of indexes: whether the estimates hold, and what is wrong with the indexes themselves."""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from ft_ops.maintenance.indexes.advice import AdvisedIndex, index_advice
from ft_ops.maintenance.indexes.bloat import accuracy
from ft_ops.maintenance.indexes.leftovers import invalid_indexes
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.application import require_monitoring
from ft_ops.pg.connect import server_time

GOOD_MEDIAN_POINTS: Final = 1.0
GOOD_P90_POINTS: Final = 4.0
FEWEST_TRUTHS: Final = 5


@dg.asset_check(
    asset="index_bloat",
    name="estimates_are_accurate",
    description=(
        "The estimates of the last 200 rebuilds against the sizes that came of them, in points of "
        "the size before. Warns above a median of 1 point, or a 90th percentile of 4."
    ),
)
def estimates_are_accurate(database: DatabaseResource) -> dg.AssetCheckResult:
    with as_failure(), database.connect("estimates") as connection:
        found = accuracy(connection)
    is_good = found.median <= GOOD_MEDIAN_POINTS and found.p90 <= GOOD_P90_POINTS
    return dg.AssetCheckResult(
        passed=is_good or len(found.errors) < FEWEST_TRUTHS,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"median {found.median:.2f} points, 90th percentile {found.p90:.2f}, "
        f"of {len(found.errors)} rebuilds",
        metadata={
            "median": found.median,
            "90th percentile": found.p90,
            "errors": table(
                ["index", "method", "points"],
                ((f"{e.schema}.{e.name}", e.method, round(e.points, 2)) for e in found.errors),
            ),
        },
    )


@dg.asset_check(
    asset="index_bloat",
    name="index_advice",
    description="Warns of unused and duplicate indexes, and of foreign keys without an index.",
)
def index_advice_check(database: DatabaseResource) -> dg.AssetCheckResult:
    with as_failure(), database.connect("index advice") as connection:
        advice = index_advice(connection, now=server_time(connection))
    counts = {
        "unused": advice.unused,
        "duplicate": advice.duplicate,
        "foreign keys without an index": advice.unindexed_foreign_keys,
    }
    told = [f"{len(found)} {what}" for what, found in counts.items()]
    told += [f"not looked at: {locked}" for locked in advice.locked]
    return dg.AssetCheckResult(
        passed=not any(counts.values()) and not advice.locked,
        severity=dg.AssetCheckSeverity.WARN,
        description=", ".join(told),
        metadata={what: findings_table(found) for what, found in counts.items()},
    )


@dg.asset_check(
    asset="rebuilt_indexes",
    name="no_invalid_indexes",
    description=(
        "Every index serves queries. One that doesn't is the leftover of an interrupted rebuild or "
        "creation: it still slows every write down."
    ),
)
def no_invalid_indexes(database: DatabaseResource) -> dg.AssetCheckResult:
    with as_failure(), database.connect("invalid indexes") as connection:
        require_monitoring(connection)
        invalid = [index for index in invalid_indexes(connection) if not index.is_busy]
    return dg.AssetCheckResult(
        passed=not invalid,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(invalid)} invalid indexes",
        metadata={
            "invalid": table(
                ["index", "table", "bytes", "to do"],
                (
                    (
                        index.qualified_name,
                        index.table_name,
                        index.bytes,
                        index.remedy,
                    )
                    for index in invalid
                ),
            )
        },
    )


def findings_table(findings: Sequence[AdvisedIndex]) -> dg.MetadataValue:
    """What the advice names, with what dropping it would free."""
    return table(
        ["name", "table", "bytes", "finding"],
        ((f"{f.schema}.{f.name}", f.table_name, f.bytes, f.finding) for f in findings),
    )
