"""What a run did is shown, whether all of it succeeded or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import dagster as dg

from ft_ops.errors import OpsError

Outcome: TypeAlias = dg.MaterializeResult[None] | dg.AssetObservation
"""What an asset yields whose run may do some of many things, or only look."""


def materialized_unless(
    context: dg.AssetExecutionContext,
    metadata: Mapping[str, Any],
    *refusals: Callable[[], None],
) -> Iterator[Outcome]:
    """The asset's materialization, unless one of ``refusals`` raises an OpsError.

    Some of many things failed then, and the others are done: what became of each is recorded as an
    observation, because the asset is not as it should be, and the error goes on.
    """
    try:
        for refuse in refusals:
            refuse()
    except OpsError:
        # Yielded, not logged: what is logged before a failure does not get out.
        yield dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key if context.has_partition_key else None,
            metadata=dict(metadata),
        )
        raise
    yield dg.MaterializeResult(metadata=dict(metadata))
