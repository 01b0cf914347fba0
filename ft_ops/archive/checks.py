"""Checks that the archive's bucket is safe, is complete, and agrees with the database."""

import dagster as dg

from ft_ops.archive.audit.keep import adopt_both
from ft_ops.archive.run import archive_run
from ft_ops.archive.store.presence import look
from ft_ops.clock import utc_now
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.posture import Purpose, bucket_posture, weaknesses
from ft_ops.settings import Settings


@dg.asset_check(
    asset="content_archive",
    name="archive_bucket_is_safe",
    description=(
        "The bucket that holds the archive is private, versioned, encrypted, refuses plain HTTP, "
        "has no lifecycle rule that expires objects, and has Object Lock where "
        "FT_ARCHIVE_LOCK_MODE asks for it. Fails when a setting was changed, whoever changed it."
    ),
)
def archive_bucket_is_safe(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    with as_failure():
        bucket = open_bucket(settings.require_archive_bucket())
        posture = bucket_posture(bucket)
        purpose = Purpose(
            needs_object_lock=settings.archive_lock_mode is not None, keeps_every_version=True
        )
        found = weaknesses(bucket.name, posture, purpose)
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(weakness.cause for weakness in found) or "nothing stands open",
        metadata={
            "bucket": bucket.name,
            "mend": [weakness.mend for weakness in found],
            "encryption": posture.encryption or "none",
            "object lock": posture.object_lock,
        },
    )


@dg.asset_check(
    asset="content_archive",
    name="archived_objects_are_there",
    description=(
        "Every object of every frozen or purged generation lies in the bucket, as the version, "
        "size, SHA-256 and class that the ledger has, and each manifest says what the ledger says. "
        "Of a purged month that is the only copy. All are listed, and some of each generation are "
        "asked for each day, all others in turn within FT_ARCHIVE_CHECK_REQUESTS. Fails when one "
        "is gone, whoever removed it, and when something lies among them that is none of ours."
    ),
)
def archived_objects_are_there(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    with as_failure(), database.connect("archived objects") as connection:
        bucket = open_bucket(settings.require_archive_bucket())
        found = look(connection, bucket, requests=settings.archive_check_requests, now=utc_now())
    problems = found.problems
    return dg.AssetCheckResult(
        passed=not problems,
        description="; ".join(f"{name}: {lines[0]}" for name, lines in problems.items())
        or f"all {found.listed:,} objects are there; {found.asked_for:,} were asked for, "
        f"each other one within {found.days} days",
        metadata={
            "missing": dg.MetadataValue.json(dict(problems)),
            "objects": found.listed,
            "asked for one by one": found.asked_for,
            "days until each was asked for": found.days,
        },
    )


@dg.asset_check(
    asset="archive_records",
    description=(
        "The database's ledgers, tombstones and holds are what an adoption from the bucket would "
        "make them, and nothing is in the database that a tombstone names."
    ),
)
def archive_agrees_with_bucket(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    with as_failure(), database.connect("archive records") as connection:
        run = archive_run(connection, settings, "check")
        found = adopt_both(run, settings.audit_retention_years, apply=False)
    unknown = [f"{problem}. Next: {problem.next_step}" for problem in found.problems]
    said = [*unknown[:3], *found.changes[:5]]
    return dg.AssetCheckResult(
        passed=not said,
        description="; ".join(said) or "database and bucket say the same",
        metadata={"differences": list(found.changes), "could not be compared": unknown},
    )
