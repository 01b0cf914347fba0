"""Checks that the bucket knows what it has to, and that nobody who was erased comes back."""

import dagster as dg

from ft_ops.archive.keep.keys import lone_keys
from ft_ops.archive.keep.rehearsal import newest_erasure, newest_rehearsals, weaknesses_of
from ft_ops.archive.recorded.ship import LONGEST_WAIT, unshipped
from ft_ops.backups import kept_at_most_until, oldest_point, retention_rules
from ft_ops.clock import utc_now
from ft_ops.format import human_duration
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings


@dg.asset_check(
    asset="archive_records",
    description=(
        "No tombstone, hold or state of a generation is in this database alone for longer than an "
        "hour. What was erased in that time would come back with a recovery of the database."
    ),
)
def archive_records_are_shipped(database: DatabaseResource) -> dg.AssetCheckResult:
    with as_failure(), database.connect("archive records") as connection:
        waiting = unshipped(connection)
    age = utc_now() - waiting.since if waiting.since else None
    shown = human_duration(age.total_seconds()) if age else "none waits"
    return dg.AssetCheckResult(
        passed=age is None or age <= LONGEST_WAIT,
        description=f"{waiting.records:,} records wait, the oldest for {shown}"
        if age
        else "everything is in the bucket",
        metadata={"records": waiting.records, "oldest": shown},
    )


@dg.asset_check(
    asset="archive_records",
    description=(
        "Each key of an archived month has its segment in a table. One without was left by a "
        "deletion that silenced the triggers; what belonged to the segment is still there."
    ),
)
def archived_keys_have_segments(database: DatabaseResource) -> dg.AssetCheckResult:
    with as_failure(), database.connect("archived keys") as connection:
        looked = lone_keys(connection)
    keys = {str(month): [str(key) for key in found] for month, found in looked.found.items()}
    problems = [
        *(
            f"{month}: {len(found):,} keys have no segment, {found[0]} among them"
            for month, found in keys.items()
        ),
        *(f"not known: {failed}" for failed in looked.failed),
    ]
    return dg.AssetCheckResult(
        passed=not problems,
        description="; ".join(problems) or "each key has its segment",
        metadata={
            "keys without a segment": dg.MetadataValue.json(
                {month: found[:100] for month, found in keys.items()}
            ),
            "months under work, not looked at": [str(month) for month in looked.skipped],
        },
    )


@dg.asset_check(
    asset="erasure_rehearsal",
    description=(
        "A backup from before an erasure was restored within the last fortnight, the tombstones "
        "were applied to it, and none of the erased was left. Says until when backups hold what "
        "was erased."
    ),
)
def erasures_survive_a_restore(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    with as_failure(), database.connect("erasure rehearsal") as connection:
        erased, held = newest_erasure(connection), newest_rehearsals(connection)
        oldest = oldest_point(connection)
    problems = weaknesses_of(erased, oldest, held, utc_now())
    shown = held.telling or held.newest
    until = "nothing was erased"
    if erased is not None:
        month = kept_at_most_until(erased, retention_rules(settings))
        until = (
            "no backup holds it"
            if oldest is None or oldest > erased
            else f"{month}, by the retention's ladder"
            if settings.backup_retention_apply
            else "for ever: FT_BACKUP_RETENTION_APPLY is false"
        )
    return dg.AssetCheckResult(
        passed=not problems,
        description="; ".join(problems)
        or ("nothing was erased" if shown is None else f"proven on a copy of {shown.point}"),
        metadata={
            "the newest erasure": f"{erased:%F %T}Z" if erased else "none",
            "backups hold it until": until,
            "in no backup is what was erased before": f"{oldest:%F %T}Z" if oldest else "any time",
        },
    )
