"""The job and the schedule of the audit log's archive."""

import dagster as dg

from ft_ops.archive.audit.assets import AuditArchiveConfig, archived_audit_log
from ft_ops.orchestration.jobs import asset_job, schedule

archive_audit_log = asset_job(
    "archive_audit_log",
    ["archived_audit_log"],
    "Takes due months of the audit log to Glacier and out of the database, and brings back what is "
    "asked for. A dry run when launched by hand.",
    identity=True,
)

archive_audit_log_daily = schedule(
    "archive_audit_log_daily",
    archive_audit_log,
    "10 5 * * *",
    "Does nothing on most days: a month is due once a month.",
    archived_audit_log=AuditArchiveConfig(dry_run=False),
)

defs = dg.Definitions(
    assets=[archived_audit_log], jobs=[archive_audit_log], schedules=[archive_audit_log_daily]
)
