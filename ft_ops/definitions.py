"""Assembly only: the rooms' definitions, and the resources that all of them share."""

from __future__ import annotations

import dagster as dg

# As modules: Dagster refuses a code location with more than one Definitions at its top level.
from ft_ops.alerting import sensors as alerting
from ft_ops.archive import jobs as archive
from ft_ops.archive.audit import jobs as archive_audit
from ft_ops.archive.drill import jobs as archive_drill
from ft_ops.archive.keep import jobs as archive_keep
from ft_ops.archive.replica import jobs as archive_replica
from ft_ops.backups import jobs as backups
from ft_ops.evidence import jobs as evidence
from ft_ops.health import jobs as health
from ft_ops.maintenance import jobs as maintenance
from ft_ops.orchestration.deadlines import with_deadlines
from ft_ops.orchestration.resources import DatabaseResource, settings_resource
from ft_ops.orchestration.runbook import with_runbook_links
from ft_ops.orchestration.upkeep import jobs as upkeep
from ft_ops.orchestration.upkeep.executor import watched_in_process_executor
from ft_ops.overview import jobs as overview
from ft_ops.partitions import jobs as partitions
from ft_ops.rehearsal import jobs as rehearsal
from ft_ops.restore import jobs as restore
from ft_ops.schema import jobs as schema
from ft_ops.settings import load_settings
from ft_ops.staging import jobs as staging
from ft_ops.storage import jobs as storage

defs: dg.Definitions = with_runbook_links(
    with_deadlines(
        dg.Definitions.merge(
            schema.defs,
            partitions.defs,
            archive.defs,
            archive_audit.defs,
            archive_keep.defs,
            archive_drill.defs,
            archive_replica.defs,
            storage.defs,
            maintenance.defs,
            backups.defs,
            restore.defs,
            rehearsal.defs,
            staging.defs,
            health.defs,
            evidence.defs,
            overview.definitions(lambda: defs),
            alerting.defs,
            upkeep.defs,
            dg.Definitions(
                resources={"database": DatabaseResource(), "settings": settings_resource},
                executor=watched_in_process_executor,
            ),
        )
    ),
    load_settings(),
)
