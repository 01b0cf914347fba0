"""The jobs and schedules of the database's health, and all that the room defines."""

import dagster as dg

from ft_ops.health.capacity.assets import capacity
from ft_ops.health.connections.assets import connections
from ft_ops.health.latency.assets import query_latency
from ft_ops.health.server.assets import server_state
from ft_ops.orchestration.jobs import asset_job, schedule

check_health = asset_job(
    "check_health",
    ["query_latency", "capacity", "connections", "server_state"],
    "Measures latency, sizes and connections, and looks the server over.",
)

check_connections = asset_job(
    "check_connections",
    ["connections"],
    "Looks at sessions, replicas and slots.",
)

check_health_daily = schedule(
    "check_health_daily",
    check_health,
    "0 6 * * *",
)

check_connections_hourly = schedule(
    "check_connections_hourly",
    check_connections,
    "10 * * * *",
)

defs = dg.Definitions(
    assets=[query_latency, capacity, connections, server_state],
    jobs=[check_health, check_connections],
    schedules=[check_health_daily, check_connections_hourly],
)
