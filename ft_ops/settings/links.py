"""Where to look further: the run in the Dagster UI, the section of the runbook."""

from __future__ import annotations

from ft_ops.settings.deployed import Settings


def run_link(settings: Settings, run_id: str) -> str | None:
    """The run in the Dagster UI; None while FT_DAGSTER_URL is not set."""
    return f"{settings.dagster_url.rstrip('/')}/runs/{run_id}" if settings.dagster_url else None


def runbook_link(settings: Settings, section: str) -> str:
    """A section of the runbook, by the name of a job, a check or an alert.

    A path in the repository while FT_RUNBOOK_URL is not set.
    """
    base = settings.runbook_url.rstrip("/") if settings.runbook_url else "docs"
    return f"{base}/runbook.md#{section}"
