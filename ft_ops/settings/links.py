"""Where to look further: the run in the Dagster UI, the section of the runbook."""

from __future__ import annotations

from ft_ops.settings.deployed import Policy


def run_link(policy: Policy, run_id: str) -> str | None:
    """The run in the Dagster UI; None while FT_DAGSTER_URL is not set."""
    return f"{policy.dagster_url.rstrip('/')}/runs/{run_id}" if policy.dagster_url else None


def runbook_link(policy: Policy, section: str) -> str:
    """A section of the runbook, by the name of a job, a check or an alert.

    A path in the repository while FT_RUNBOOK_URL is not set.
    """
    base = policy.runbook_url.rstrip("/") if policy.runbook_url else "docs"
    return f"{base}/runbook.md#{section}"
