"""The months that Dagster knows."""

from __future__ import annotations

import dagster as dg

from ft_ops.settings import load_settings


def _monthly() -> dg.MonthlyPartitionsDefinition:
    settings = load_settings()
    # The current month is not over, and the coming ones are created ahead: end_offset counts
    # both, because by default the last partition is the last month that has ended.
    return dg.MonthlyPartitionsDefinition(
        start_date=settings.first_month.key,
        timezone="UTC",
        end_offset=settings.partition_lookahead_months + 1,
    )


monthly = _monthly()
"""Dagster's partitions of every asset marked M: FT_FIRST_MONTH to the last month ahead."""
