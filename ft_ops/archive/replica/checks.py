"""The checks of the second copy: that its bucket is safe, and that it holds the archive."""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from ft_ops.archive.replica.compare import compare
from ft_ops.archive.replica.fill import require_second
from ft_ops.archive.run import archive_run
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.posture import Purpose, bucket_posture, weaknesses
from ft_ops.settings import Settings

_NONE = "FT_ARCHIVE_REPLICA_BUCKET is not set: there is no second copy"


@dg.asset_check(
    asset="archive_replica",
    description=(
        "The bucket of the archive's second copy is as safe as the first: private, versioned, "
        "encrypted, TLS only, and no lifecycle rule lets anything expire."
    ),
)
def archive_replica_is_safe(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    name = settings.archive_replica_bucket
    if name is None:
        return dg.AssetCheckResult(passed=True, description=_NONE)
    with as_failure():
        posture = bucket_posture(open_bucket(name, region=settings.archive_replica_region))
        purpose = Purpose(
            needs_object_lock=settings.archive_lock_mode is not None, keeps_every_version=True
        )
        found = weaknesses(name, posture, purpose)
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(weakness.cause for weakness in found) or "nothing stands open",
        metadata={"bucket": name, "mend": [weakness.mend for weakness in found]},
    )


@dg.asset_check(
    asset="archive_replica",
    description=(
        "Every object of each kept generation lies in the second bucket with the same size, "
        "SHA-256 and class, and every record and manifest; nothing of a removed generation does. "
        "What is younger than FT_ARCHIVE_REPLICA_LAG_HOURS may still be on its way."
    ),
)
def archive_replica_is_complete(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    if settings.archive_replica_bucket is None:
        return dg.AssetCheckResult(passed=True, description=_NONE)
    lag = timedelta(hours=settings.archive_replica_lag_hours)
    with as_failure(), database.connect("second copy") as connection:
        run = archive_run(connection, settings, "check")
        found = compare(run, lag=lag)
        bucket = require_second(run).name
    wrong = {**found.wrong, **{f"{k}, removed": v for k, v in found.returned.items()}}
    return dg.AssetCheckResult(
        passed=not wrong,
        description=_told(wrong)
        or f"all {found.objects:,} objects are in {bucket}"
        + (f", but for what is younger than {lag}" if found.waiting else ""),
        metadata={
            "objects": found.objects,
            "wrong": dg.MetadataValue.json(wrong),
            "younger than the lag": dg.MetadataValue.json(dict(found.waiting)),
        },
    )


def _told(wrong: Mapping[str, list[str]]) -> str:
    lines = [f"{name}: {problems[0]}" for name, problems in wrong.items()]
    more = f"; and {len(lines) - 5} more" if len(lines) > 5 else ""
    return "; ".join(lines[:5]) + more
