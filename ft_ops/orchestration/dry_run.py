"""Dry runs: what would be done is shown, and Dagster records no materialization of it.

A materialization would turn the partition green and start whatever waits for it. An asset that can
run dry is declared with ``output_required=False``, is a generator, and yields nothing when it only
looks: what it found is an observation, which the asset's page shows with its metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import dagster as dg

from ft_ops.errors import Refused
from ft_ops.orchestration.internals import BACKFILL_TAG


def show_dry_run(context: dg.AssetExecutionContext, metadata: Mapping[str, Any]) -> None:
    """Record what a run of this asset would do, as an observation of the asset or partition."""
    context.log.info("dry run: nothing was changed; see the observation's metadata")
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key if context.has_partition_key else None,
            metadata={"dry run": True, **metadata},
        )
    )


def skipped_in_backfill(context: dg.AssetExecutionContext, reason: str) -> bool:
    """Whether this run is one of a back-fill, which passes over a partition for a reason.

    Whoever asks for all missing months asks for those whose time has not come, too: their runs are
    no failures. The reason is an observation of the partition. A run of its own refuses.
    """
    if BACKFILL_TAG not in context.run.tags:
        return False
    context.log.warning("skipped %s: %s", context.partition_key, reason)
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key,
            metadata={"skipped": reason},
        )
    )
    return True


def configs_of_steps(run: dg.DagsterRun) -> dict[str, dict[str, object]]:
    """What a run was launched with, by step; steps that were told nothing are left out."""
    steps = run.run_config.get("ops")
    if not isinstance(steps, Mapping):
        return {}
    configs = {
        name: step.get("config") for name, step in steps.items() if isinstance(step, Mapping)
    }
    return {
        name: dict(config)
        for name, config in configs.items()
        if config and isinstance(config, Mapping)
    }


def only_looks(run: dg.DagsterRun) -> bool:
    """Whether a run was launched dry: it evaluates nothing, and makes no failure good."""
    return any(config.get("dry_run") is True for config in configs_of_steps(run).values())


class RefusalsShown:
    """For the block of an asset: that a run would be refused is what its dry run shows.

    Whoever looks at a month that has not come so far wants to know what is missing, by a run that
    is green. What could not be asked fails all the same. After the block of a dry run the asset
    has to return.
    """

    def __init__(self, context: dg.AssetExecutionContext, *, dry_run: bool) -> None:
        self._context, self._dry_run = context, dry_run

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Show a refusal of a dry run; let everything else go on."""
        if not self._dry_run or not isinstance(error, Refused):
            return False
        show_dry_run(self._context, {"would be refused": error.cause, "next step": error.next_step})
        return True
