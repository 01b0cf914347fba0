"""Which months have partitions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from ft_ops.clock import utc_now
from ft_ops.months import Month
from ft_ops.settings.base import RoomSettings, month

_FIRST_YEAR: Final = 1900


def _has_begun(month: Month) -> Month:
    """A month that can hold content; a ValueError for one before 1900 or in the future."""
    if month.year < _FIRST_YEAR:
        raise ValueError(f"it is before {_FIRST_YEAR}")
    if month > Month.of(utc_now()):
        raise ValueError("it is in the future, and there would be no partition at all")
    return month


class PartitionSettings(RoomSettings):
    """The partitions' settings."""

    first_month: Annotated[Month, BeforeValidator(month), AfterValidator(_has_begun)] = Field(
        default=Month(2024, 1),
        examples=["2024-01"],
        description="Where the monthly partition definitions begin: a month from 1900 on that has "
        "begun.",
    )
    partition_lookahead_months: int = Field(
        default=3, ge=1, le=120, description="Months ahead of the current one that have partitions."
    )

    def last_month_ahead(self, now: datetime) -> Month:
        """The last month that must have partitions at ``now``."""
        return Month.of(now).plus(self.partition_lookahead_months)
