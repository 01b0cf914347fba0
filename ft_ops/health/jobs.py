"""The jobs and schedules of the database's health, and all that the room defines."""

import dagster as dg

from ft_ops.health.capacity_assets import capacity
from ft_ops.health.connection_assets import connections
from ft_ops.health.latency_assets import query_latency
from ft_ops.overview.assets import defs as overview_defs

check_health = dg.define_asset_job(
    "check_health",
    selection=["query_latency", "capacity", "connections"],
    description="Measures latency, sizes and connections.",
)

check_connections = dg.define_asset_job(
    "check_connections",
    selection=["connections"],
    description="Looks at sessions, replicas and slots.",
)

check_health_daily = dg.ScheduleDefinition(
    name="check_health_daily",
    job=check_health,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

check_connections_hourly = dg.ScheduleDefinition(
    name="check_connections_hourly",
    job=check_connections,
    cron_schedule="10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions.merge(
    dg.Definitions(
        assets=[query_latency, capacity, connections],
        jobs=[check_health, check_connections],
        schedules=[check_health_daily, check_connections_hourly],
    ),
    overview_defs,
)
