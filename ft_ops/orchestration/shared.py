"""What several rooms' Dagster definitions share: the months, the heavy pool, owners, clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from ft_ops.months import Month
from ft_ops.settings import load_policy

HEAVY_POOL = "heavy"
"""The pool of whatever takes heavy locks or much I/O: one slot by default."""

OWNERS = ["team:operations"]


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)


def lookahead_month(months: int, now: datetime) -> Month:
    """The last month that must have partitions: ``months`` after the current one."""
    return Month.of(now).plus(months)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str | int | float | bool | None]]
) -> dg.MetadataValue:
    """Rows as a metadata table; it may have none."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({name: "" if cell is None else cell for name, cell in zipped})
            for zipped in (zip(columns, row, strict=True) for row in rows)
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )


def own_identity(job: str) -> Mapping[str, str]:
    """The tags by which Dagster's launchers run a job under an identity of its own.

    None unless the policy names a prefix: elsewhere a run is what its launcher is.
    """
    policy = load_policy()
    tags = {}
    if policy.ecs_task_role_prefix is not None:
        role = f"{policy.ecs_task_role_prefix}{job}"
        tags["ecs/task_overrides"] = json.dumps({"taskRoleArn": role})
    if policy.k8s_service_account_prefix is not None:
        account = f"{policy.k8s_service_account_prefix}{job.replace('_', '-')}"
        tags["dagster-k8s/config"] = json.dumps(
            {"pod_spec_config": {"service_account_name": account}}
        )
    return tags


def _monthly() -> dg.MonthlyPartitionsDefinition:
    policy = load_policy()
    # The current month is not over, and the coming ones are created ahead: end_offset counts
    # both, because by default the last partition is the last month that has ended.
    return dg.MonthlyPartitionsDefinition(
        start_date=policy.first_month.key,
        timezone="UTC",
        end_offset=policy.partition_lookahead_months + 1,
    )


monthly = _monthly()
"""Dagster's partitions of every asset marked M: FT_FIRST_MONTH to the last month ahead."""
