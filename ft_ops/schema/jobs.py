"""Jobs and schedules of the schema."""

import dagster as dg

from ft_ops.orchestration.jobs import asset_job, schedule
from ft_ops.schema.assets import schema, schema_drift, server_settings

initial_schema = asset_job(
    "initial_schema",
    ["schema"],
    "Sets a database up: migrations, extensions and the first partitions.",
)

check_schema = asset_job(
    "check_schema",
    dg.AssetSelection.checks(schema_drift, server_settings),
    "Compares the live schema with the migrations, and looks at the server.",
)

check_schema_daily = schedule(
    "check_schema_daily",
    check_schema,
    "15 0 * * *",
)

defs = dg.Definitions(
    assets=[schema],
    asset_checks=[schema_drift, server_settings],
    jobs=[initial_schema, check_schema],
    schedules=[check_schema_daily],
)
