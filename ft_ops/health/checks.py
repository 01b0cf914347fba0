"""The result that several of the room's checks share."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg


def problems_check(name: str, problems: Iterable[str], *, is_error: bool) -> dg.AssetCheckResult:
    """Passed without problems; otherwise failed, with each of them in its description."""
    found = list(problems)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description="; ".join(found) or "in order",
    )
