"""The check of the archive's drills: that one was held lately, and that no month is refuted."""

import dagster as dg

from ft_ops.archive.drill.standing import judge
from ft_ops.clock import utc_now
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings


@dg.asset_check(
    asset="archive_drill",
    description=(
        "A purged month was retrieved, loaded and proven within the last 45 days, no month stands "
        "refuted, and no month's proof is older than FT_ARCHIVE_OLDEST_PROOF_DAYS."
    ),
)
def archive_is_proven(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    with as_failure(), database.connect("archive drill") as connection:
        found = judge(connection, utc_now(), oldest_days=settings.archive_oldest_proof_days)
    return dg.AssetCheckResult(
        passed=not found.problems,
        description="; ".join(found.problems) or found.words,
        metadata={
            "months in the archive alone": found.months,
            "oldest proof": found.oldest,
            "problems": list(found.problems),
        },
    )
