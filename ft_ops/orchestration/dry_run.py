"""Dry runs: what would be done is shown, and Dagster records no materialization of it.

A materialization would turn the partition green and start whatever waits for it. An asset that can
run dry is declared with ``output_required=False``, is a generator, and yields nothing when it only
looks: what it found is an observation, which the asset's page shows with its metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg


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
