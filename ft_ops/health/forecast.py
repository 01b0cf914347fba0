"""Where a size is going: a random walk with drift, its band, and the day a limit is reached.

The model has one step a day, Gaussian, around a constant drift: growth that varies from day to
day and does not return to a line. The band holds 90 % of such walks and includes what is not
known of the drift. Its variance is the maximum of the likelihood, divided by n - 1 steps:
sum((change - k·drift)² / k) / (n - 1) over changes that are k days apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from ft_ops.standing import Point

LEAST_DAYS = 14
"""Days with a figure that a forecast needs."""
HORIZON_DAYS = 730
_OUTSIDE_BAND = 0.1


@dataclass(frozen=True, slots=True)
class Forecast:
    """Two years from the day after the last figure: element i of each is day ``first`` + i."""

    first: date
    expected: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    daily_growth: float

    def day(self, index: int) -> datetime:
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC) + timedelta(
            days=index
        )

    def reaches(self, limit: float) -> date | None:
        """The day on which ``limit`` is expected to be reached, None when not in two years."""
        return self._first_above(self.expected, limit)

    def may_reach(self, limit: float) -> date | None:
        """The earliest day within the band on which ``limit`` may be reached."""
        return self._first_above(self.upper, limit)

    def _first_above(self, values: Sequence[float], limit: float) -> date | None:
        return next(
            (self.first + timedelta(days=i) for i, value in enumerate(values) if value >= limit),
            None,
        )


def forecast(points: Sequence[Point]) -> Forecast | None:
    """Forecast a series; None while fewer than LEAST_DAYS days have a figure.

    A day's last figure counts; days without one are gaps.
    """
    if not points:
        return None
    # Seconds of imports, for what few processes do.
    import pandas as pd
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    index = pd.DatetimeIndex([point.sampled_at for point in points])
    daily = pd.Series([point.value for point in points], index=index).resample("D").last()
    known = daily.dropna()
    if len(known) < LEAST_DAYS:
        return None
    days_apart = np.diff(known.index.to_numpy()) / np.timedelta64(1, "D")
    changes = np.diff(known.to_numpy())
    drift = changes.sum() / days_apart.sum()
    variance = float((((changes - drift * days_apart) ** 2) / days_apart).sum() / (len(known) - 2))
    # In units of one step the filter's matrices are well conditioned, whatever bytes they count.
    unit = variance**0.5 or 1.0
    model = UnobservedComponents(daily.to_numpy() / unit, level="rwdrift")
    future = model.smooth([variance / unit**2]).get_forecast(HORIZON_DAYS)
    band = future.conf_int(alpha=_OUTSIDE_BAND) * unit
    return Forecast(
        first=known.index[-1].date() + timedelta(days=1),
        expected=tuple(float(v) for v in future.predicted_mean * unit),
        lower=tuple(float(v) for v in band[:, 0]),
        upper=tuple(float(v) for v in band[:, 1]),
        daily_growth=float(drift),
    )
