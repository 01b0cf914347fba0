"""Jobs and their schedules, in the form that all rooms share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import dagster as dg

from ft_ops.orchestration.internals import (
    MAX_RUNTIME_SECONDS_TAG,
    PRIORITY_TAG,
    UnresolvedAssetJobDefinition,
)
from ft_ops.orchestration.runbook import described
from ft_ops.settings import Settings, load_settings

HEAVY_POOL: Final = "heavy"
"""The pool of whatever takes heavy locks or much I/O: one slot by default."""

_A_MONTH_OF_CONTENT: Final = timedelta(hours=24)

BEFORE_BACKFILLS: Final = {PRIORITY_TAG: "1"}
"""The tag of whatever nobody launched. Of those that wait for a pool the oldest would come first:
a backfill of many months would keep a night's backup waiting for days."""

JOB_TAG: Final = "ft-ops/job"
"""The tag by which dagster.yaml lets one run of a job at a time out of the queue."""

OWNERS: Final = ["team:operations"]

AssetJob = UnresolvedAssetJobDefinition


def asset_job(
    name: str,
    selection: Sequence[str] | dg.AssetSelection,
    description: str,
    *,
    identity: bool = False,
) -> AssetJob:
    """A job over assets or checks; with ``identity``, its runs take on an identity of their own."""
    settings = load_settings()
    return dg.define_asset_job(
        name,
        tags={**_tags(name, settings), **(own_identity(name) if identity else {})},
        selection=selection,
        description=described(description, name, settings),
    )


def longest_run(settings: Settings) -> timedelta:
    """After how long Dagster ends a run of a job.

    That is a last bound, beyond the ends that steps have of their own: a month of content may take
    a day, and a drill restores, or a dump is looked through, for FT_BACKUP_TIMEOUT_MINUTES each.
    """
    return max(_A_MONTH_OF_CONTENT, 4 * timedelta(minutes=settings.backup_timeout_minutes))


def last_bound(settings: Settings) -> Mapping[str, str]:
    """The tag by which Dagster knows that."""
    return {MAX_RUNTIME_SECONDS_TAG: f"{longest_run(settings).total_seconds():.0f}"}


def _tags(job: str, settings: Settings) -> Mapping[str, str]:
    return {**last_bound(settings), JOB_TAG: job}


def op_job(description: str) -> Callable[[Callable[[], None]], dg.JobDefinition]:
    """Makes a job over ops of a function of its name."""

    def make(compose: Callable[[], None]) -> dg.JobDefinition:
        settings = load_settings()
        led = described(description, compose.__name__, settings)
        return dg.job(description=led, tags=_tags(compose.__name__, settings))(compose)

    return make


def schedule(
    name: str,
    job: AssetJob | dg.JobDefinition,
    cron: str,
    description: str | None = None,
    **config: dg.Config,
) -> dg.ScheduleDefinition:
    """A schedule in UTC that runs from the first start of the daemon; ``config`` is by asset."""
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        run_config=dg.RunConfig(ops=dict(config)) if config else None,
        tags=BEFORE_BACKFILLS,
        description=description,
    )


def run_request(
    *,
    run_key: str | None = None,
    job_name: str | None = None,
    partition_key: str | None = None,
    run_config: dg.RunConfig | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.RunRequest:
    """What a schedule or a sensor asks for: a run that no backfill keeps waiting."""
    return dg.RunRequest(
        run_key=run_key,
        job_name=job_name,
        partition_key=partition_key,
        run_config=run_config,
        tags={**BEFORE_BACKFILLS, **(tags or {})},
    )


def own_identity(job: str) -> Mapping[str, str]:
    """The tags by which Dagster's launchers run a job under an identity of its own.

    None unless a setting names a prefix: elsewhere a run is what its launcher is.
    """
    settings = load_settings()
    tags = {}
    if settings.ecs_task_role_prefix is not None:
        role = f"{settings.ecs_task_role_prefix}{job}"
        tags["ecs/task_overrides"] = json.dumps({"taskRoleArn": role})
    if settings.k8s_service_account_prefix is not None:
        account = f"{settings.k8s_service_account_prefix}{job.replace('_', '-')}"
        tags["dagster-k8s/config"] = json.dumps(
            {"pod_spec_config": {"service_account_name": account}}
        )
    return tags
