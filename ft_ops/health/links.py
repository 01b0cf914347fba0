"""Where to look further: the run in the Dagster UI, the section of a room's page."""

from __future__ import annotations

from ft_ops.policy import Policy


def run_link(policy: Policy, run_id: str) -> str | None:
    """The run in the Dagster UI; None while FT_DAGSTER_URL is not set."""
    return f"{policy.dagster_url.rstrip('/')}/runs/{run_id}" if policy.dagster_url else None


def runbook_link(policy: Policy, room: str, section: str) -> str:
    """The section of a room's page; a path in the repository while FT_RUNBOOK_URL is not set."""
    base = policy.runbook_url.rstrip("/") if policy.runbook_url else "docs"
    return f"{base}/{room}.md#{section}"
