"""Which months have partitions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from ft_ops.months import Month
from ft_ops.settings.base import RoomSettings, month


class PartitionSettings(RoomSettings):
    """The partitions' settings."""

    first_month: Annotated[Month, BeforeValidator(month)] = Field(
        default=Month(2024, 1),
        examples=["2024-01"],
        description="Where the monthly partition definitions begin.",
    )
    partition_lookahead_months: int = Field(
        default=3, ge=1, le=120, description="Months ahead of the current one that have partitions."
    )

    def last_month_ahead(self, now: datetime) -> Month:
        """The last month that must have partitions at ``now``."""
        return Month.of(now).plus(self.partition_lookahead_months)
