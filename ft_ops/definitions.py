"""Assembly only: the rooms' definitions, and the resources that all of them share."""

from __future__ import annotations

import dagster as dg

from ft_ops.alerts import defs as alerts
from ft_ops.archive.assets import defs as archive
from ft_ops.deadlines import with_deadlines
from ft_ops.health.assets import defs as health
from ft_ops.partitions.assets import defs as partitions
from ft_ops.resources import Database, Settings
from ft_ops.schema.assets import defs as schema

defs = with_deadlines(
    dg.Definitions.merge(
        schema,
        partitions,
        archive,
        health,
        alerts,
        dg.Definitions(
            resources={"database": Database(), "settings": Settings()},
            # Every step is SQL or streams: a process a step would cost seconds and give nothing.
            executor=dg.in_process_executor,
        ),
    )
)
