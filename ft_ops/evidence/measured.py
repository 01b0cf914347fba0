"""What drills measured: how long a recovery takes, and how much it would lose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ft_ops.evidence.acts import Act

VERIFIED: Final = "backup_verified"
MEASURED_WITHIN: Final = timedelta(days=7)
"""How old a measurement may be; drills are daily."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """One proven drill, at the moment of its proof. None where a drill did not write it down."""

    at: datetime
    drill: int
    recovery_seconds: float | None
    loss_seconds: float | None


def recoveries(acts: Iterable[Act]) -> list[Recovery]:
    """The proven drills among ``acts``, in their order."""
    return [
        Recovery(
            act.created_at,
            int(str(act.details["drill"])),
            _seconds(act.details.get("recovery_seconds")),
            _seconds(act.details.get("loss_seconds")),
        )
        for act in acts
        if act.action == VERIFIED
    ]


def exceeds(seconds: float | None, target_minutes: float | None) -> bool | None:
    """Whether a measured time is above its target; None when one of the two is not known."""
    if seconds is None or target_minutes is None:
        return None
    return seconds > target_minutes * 60


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
