"""The job and the schedule of the evidence."""

import dagster as dg

from ft_ops.evidence.assets import (
    audit_log_matches_chain,
    evidence_chain,
    recovery_point_within_target,
    recovery_time_within_target,
)
from ft_ops.orchestration.jobs import asset_job, schedule

chain_evidence = asset_job(
    "chain_evidence",
    dg.AssetSelection.assets("evidence_chain")
    | dg.AssetSelection.checks(
        audit_log_matches_chain, recovery_time_within_target, recovery_point_within_target
    ),
    "Chains what the operations did since the last time, compares the chain with the audit log, "
    "and what drills measured with the targets.",
    identity=True,
)

chain_evidence_daily = schedule(
    "chain_evidence_daily",
    chain_evidence,
    # After the night's drill.
    "45 5 * * *",
)

defs = dg.Definitions(
    assets=[evidence_chain],
    asset_checks=[
        audit_log_matches_chain,
        recovery_time_within_target,
        recovery_point_within_target,
    ],
    jobs=[chain_evidence],
    schedules=[chain_evidence_daily],
)
