"""Forecasts a size from its recent growth: the size, a band, and the day it reaches a limit.

The band holds the size in some nine cases of ten on the shapes of growth that `bench/forecast.py`
has; `make bench BENCH=forecast` measures that, how long before a full disk the first warning comes,
and how often one is false.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np

from ft_ops.health.capacity.growth import Bend, Growth, Numbers, growth
from ft_ops.standing import Point

LEAST_DAYS: Final = 14
"""Days with a figure that a forecast needs."""
HORIZON_DAYS: Final = 730
_CONFIRMED_AFTER: Final = timedelta(days=7)
_BENDS_FOR: Final = 90.0
"""Days for which a slope goes on bending; nothing doubles for ever."""
_FASTEST_DOUBLING: Final = 21.0
_Z: Final = 1.645
"""Standard deviations to either side of the expectation: nine cases of ten."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Two years from the day after the last figure: element i of each is day ``first`` + i."""

    first: date
    expected: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    daily_growth: float
    before: Forecast | None = None
    """What was known a week earlier; None where that was too little."""

    def day(self, index: int) -> datetime:
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC) + timedelta(
            days=index
        )

    def reaches(self, limit: float) -> date | None:
        """The day on which ``limit`` is expected to be reached, None when not in two years."""
        return self._first_above(self.expected, limit)

    def may_reach(self, limit: float) -> date | None:
        """The earliest day within the band on which ``limit`` may be reached.

        What nobody could foresee a week ago, such as the end of a week's import, is not feared yet.
        """
        earliest = self._first_above(self.upper, limit)
        if earliest is None or self.before is None:
            return earliest
        foreseen = self.before._first_above(self.before.upper, limit)
        return None if foreseen is None else max(earliest, foreseen)

    def _first_above(self, values: Sequence[float], limit: float) -> date | None:
        return next(
            (self.first + timedelta(days=i) for i, value in enumerate(values) if value >= limit),
            None,
        )


def forecast(points: Sequence[Point]) -> Forecast | None:
    """Forecast a series; None while fewer than LEAST_DAYS days have a figure.

    A day's last figure counts; over days without one it grew steadily.
    """
    daily = {point.sampled_at.astimezone(UTC).date(): point.value for point in points}
    days = sorted(daily)
    if not days:
        return None
    last = days[-1] - _CONFIRMED_AFTER
    earlier = _forecast({day: daily[day] for day in days if day <= last}, None)
    return _forecast(daily, earlier)


def _forecast(daily: Mapping[date, float], before: Forecast | None) -> Forecast | None:
    if len(daily) < LEAST_DAYS:
        return None
    days = sorted(daily)
    gaps = np.diff([day.toordinal() for day in days])
    values = np.array([daily[day] for day in days], dtype=float)
    found = growth(np.repeat(np.diff(values) / gaps, gaps))
    expected, lower, upper = _band(found, float(values[-1]))
    return Forecast(
        first=days[-1] + timedelta(days=1),
        expected=tuple(expected.tolist()),
        lower=tuple(lower.tolist()),
        upper=tuple(upper.tolist()),
        daily_growth=_slope(found) + (found.jumps.rate if found.jumps else 0.0),
        before=before,
    )


def _band(found: Growth, last: float) -> tuple[Numbers, Numbers, Numbers]:
    """The expected sizes, and the edges of the band, for each day ahead."""
    days = np.arange(1, HORIZON_DAYS + 1, dtype=float)
    slope, jumps = _slope(found), found.jumps
    bends = _bends(found.bend, slope, days)
    line = last + (slope + (jumps.rate if jumps else 0.0)) * days
    variance = (
        (_slope_error(found) * days) ** 2
        + found.slope.step_variance * days
        + 2 * found.wiggle**2
        # A slope that strays like a random walk takes the size along.
        + found.drift_variance * days**3 / 56
    )
    if jumps:
        variance = variance + (jumps.rate_error * days) ** 2 + jumps.variance * days
    spread = _Z * np.sqrt(variance)
    expected, lower, upper = line + bends[0], line + bends[1] - spread, line + bends[2] + spread
    if jumps:
        # The line is smooth, and the size is not: as far as the next jump is, the line is ahead of
        # it, and behind it once that has come.
        gone = jumps.since / jumps.interval
        ahead = min(1.0, max(0.0, 1 - gone) + jumps.irregular)
        wait = abs(jumps.size) * np.minimum(days / jumps.interval, ahead)
        soon = abs(jumps.size) * min(1.0, gone + jumps.irregular)
        lower, upper = (
            (lower - wait, upper + soon) if jumps.size > 0 else (lower - soon, upper + wait)
        )
    return expected, lower, upper


def _slope(found: Growth) -> float:
    """The slope to go on with: where it bends, the one that it has reached."""
    slope, bend = found.slope, found.bend
    if bend is None:
        return slope.value
    if bend.kind == "curve":
        return max(slope.value, bend.now) if bend.now > 0.8 * slope.value else slope.value
    near = 3 * (slope.error + bend.now_error) + 0.25 * abs(slope.value)
    return bend.now if abs(bend.now - slope.value) < near else slope.value


def _slope_error(found: Growth) -> float:
    if found.bend is None:
        return found.slope.error
    return min(found.slope.error, found.bend.now_error + 0.01 * abs(found.bend.now))


def _bends(bend: Bend | None, slope: float, days: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """What a bending slope adds: as expected, at least and at most."""
    nothing = np.zeros_like(days)
    if bend is None:
        return nothing, nothing, nothing
    near = np.minimum(days, _BENDS_FOR)
    beyond = days - near
    if bend.kind == "curve":

        def grown(rate: float) -> Numbers:
            rate = max(1e-6, min(rate, math.log(2) / _FASTEST_DOUBLING))
            near_by: Numbers = slope * ((np.exp(rate * near) - 1) / rate - near)
            return near_by + slope * (math.exp(rate * _BENDS_FOR) - 1) * beyond

        least = 0.6 * bend.change * slope * (near**2 / 2 + _BENDS_FOR * beyond)
        return grown(bend.change), least, grown(1.1 * bend.change + _Z * bend.change_error)
    added = bend.change * (near**2 / 2 + _BENDS_FOR * beyond)
    unsure = _Z * bend.change_error * (near**2 / 2 + _BENDS_FOR * beyond) + 0.3 * np.abs(added)
    if bend.change >= 0:
        return added, added - unsure, added + unsure
    # Growth that slows down comes to rest; that it turns is not foretold.
    rest = -slope * days if slope > 0 else np.full_like(days, -np.inf)
    return np.maximum(added, rest), added - unsure, np.maximum(added / 2, rest)
