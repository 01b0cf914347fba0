"""A calendar month in UTC: the unit of partitions, archives and Dagster's partition keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ft_ops.errors import OpsError

_KEY = re.compile(r"(\d{4})-(\d{2})(?:-01)?")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One month, ordered by time. ``start`` is inclusive, ``end`` exclusive, both UTC."""

    year: int
    month: int

    def __post_init__(self) -> None:
        date(self.year, self.month, 1)

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``2017-03-01`` (a partition key) or ``2017-03``; anything else is an OpsError."""
        match = _KEY.fullmatch(text)
        try:
            if match is None:
                raise ValueError("expected YYYY-MM or YYYY-MM-01")
            return cls(int(match[1]), int(match[2]))
        except ValueError as error:
            raise OpsError(
                f"month {text!r}",
                cause=str(error),
                next_step="name a month such as 2017-03-01",
            ) from error

    @classmethod
    def of(cls, moment: date | datetime) -> Month:
        """The month of a date, or of an aware datetime in UTC."""
        if isinstance(moment, datetime):
            moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    @property
    def first_day(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.plus(1).start

    @property
    def key(self) -> str:
        """Dagster's partition key, ``2017-03-01``."""
        return self.first_day.isoformat()

    @property
    def suffix(self) -> str:
        """What a partition's name ends in, ``2017_03``."""
        return f"{self.year:04d}_{self.month:02d}"

    def plus(self, months: int) -> Month:
        """The month that many months later, or earlier when negative."""
        years, zero_based = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(years, zero_based + 1)

    def until(self, last: Month) -> Iterator[Month]:
        """Each month from this one to ``last``, both included; nothing when ``last`` is earlier."""
        month = self
        while month <= last:
            yield month
            month = month.plus(1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"
