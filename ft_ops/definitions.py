"""Assembly only: the rooms' definitions, and the resources that all of them share."""

from __future__ import annotations

import dagster as dg

# As modules: Dagster refuses a code location with more than one Definitions at its top level.
from ft_ops.alerting import sensors as alerting
from ft_ops.archive import assets as archive
from ft_ops.backups import assets as backups
from ft_ops.health import jobs as health
from ft_ops.maintenance import assets as maintenance
from ft_ops.orchestration.deadlines import with_deadlines
from ft_ops.orchestration.resources import Database, Settings
from ft_ops.orchestration.runbook import with_runbook_links
from ft_ops.partitions import assets as partitions
from ft_ops.schema import assets as schema
from ft_ops.settings import load_policy
from ft_ops.storage import assets as storage

defs = with_runbook_links(
    with_deadlines(
        dg.Definitions.merge(
            schema.defs,
            partitions.defs,
            archive.defs,
            storage.defs,
            maintenance.defs,
            backups.defs,
            health.defs,
            alerting.defs,
            dg.Definitions(
                resources={"database": Database(), "settings": Settings()},
                # Steps are SQL or streams: a process a step would cost seconds and give nothing.
                executor=dg.in_process_executor,
            ),
        )
    ),
    load_policy(),
)
