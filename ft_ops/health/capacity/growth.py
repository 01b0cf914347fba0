"""How a size grows now: its slope, whether that bends, and the jumps that come again and again.

Growth changes: it is three times as fast after a new feature, it bends upwards with the number of
members, and one import adds in a day what a year had not. A mean over all of the past would learn
of each of these too late, and forget the import too late. So jumps are told apart from growth, the
slope is that of the recent past, as far back as it has been the same, and jumps count only when
they come regularly. Everything is a closed form over some hundred numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

_WINDOWS: Final = (10, 14, 21, 28, 42, 63, 91, 140, 210, 301)
"""Days that a slope is taken over: whole weeks, and ten days, which six days of a new slope win."""
_WIDTH: Final = 2.5
"""Standard errors within which the slopes of two windows are called the same."""
_LARGER: Final = 2.0
"""How much larger the variance of a day's step may be in a longer window."""
_ROUGHLY: Final = 0.01
"""A hundredth of a slope is never a change, and no slope is known better than that."""

_NEIGHBOURS: Final = 21
_JUMP: Final = 7.0
"""A day's growth is a jump when it is so many spreads from the median of the days around it."""
_ONE_EVENT: Final = 3
_REGULAR: Final = 3
"""Jumps of the remembered past from which on they are part of the growth."""

_WEEK: Final = 7
_LEAST_WEEKS: Final = 6
_MOST_WEEKS: Final = 13
_SURE: Final = 3.5
_BETTER_THAN_A_STEP: Final = 0.8
_BLOCK: Final = 28


@dataclass(frozen=True, slots=True)
class Slope:
    """Bytes a day over so many days, with their standard error, and the variance of one step."""

    days: int
    value: float
    error: float
    step_variance: float


@dataclass(frozen=True, slots=True)
class Bend:
    """A slope that changes steadily: by so much a day ("line"), or by such a share of it ("curve").

    It has done so for ``days``; ``now`` is the slope at the end of what was seen.
    """

    kind: Literal["line", "curve"]
    days: int
    now: float
    now_error: float
    change: float
    change_error: float


@dataclass(frozen=True, slots=True)
class Jumps:
    """Imports, purges and their like that come regularly: their size and the days between them.

    ``since`` days have gone since the last one, and ``irregular`` is the share of the interval by
    which the days between them vary.
    """

    size: float
    interval: float
    since: float
    irregular: float
    rate_error: float
    variance: float

    @property
    def rate(self) -> float:
        """Bytes a day that they add in the long run."""
        return self.size / self.interval


@dataclass(frozen=True, slots=True)
class Growth:
    """What is known of a size's growth.

    ``wiggle`` is how far the size itself strays from its slope within a month, and
    ``drift_variance`` by how much the slope changed from one month to the next.
    """

    slope: Slope
    bend: Bend | None
    jumps: Jumps | None
    wiggle: float
    drift_variance: float


def growth(changes: Numbers) -> Growth:
    """What a series of daily changes says of its growth; it needs ten days at least."""
    is_jump = _jumps(changes)
    steady = changes[~is_jump]
    slope = _recent_slope(changes)
    bend = _bend(steady)
    # A slope that bends steadily has drifted for that reason; what it did before counts.
    before = steady if bend is None else steady[: -bend.days]
    drift = _drift_variance(before, slope.step_variance)
    return Growth(
        slope=slope,
        bend=bend,
        jumps=_regular_jumps(changes, is_jump, slope.value),
        wiggle=_wiggle(changes, is_jump, slope),
        drift_variance=drift,
    )


def _spread(median: Numbers, window: Numbers) -> Numbers:
    """A robust spread of each window, and some share of its median where that is larger."""
    deviation = np.median(np.abs(window - median[..., None]), axis=-1)
    least = np.maximum(0.4 * np.abs(median), 1e-12)
    return np.maximum(1.4826 * deviation, least).astype(np.float64)


def _jumps(changes: Numbers) -> Mask:
    size = min(_NEIGHBOURS, len(changes))
    windows = sliding_window_view(changes, size)
    medians = np.median(windows, axis=1)
    spreads = _spread(medians, windows)
    around = np.clip(np.arange(len(changes)) - size // 2, 0, len(changes) - size)
    found: Mask = np.abs(changes - medians[around]) > _JUMP * spreads[around]
    return found


def _recent_slope(changes: Numbers) -> Slope:
    """The slope of the longest past over which it agrees with that of every shorter one."""
    low, high = -math.inf, math.inf
    chosen: Slope | None = None
    for size in _WINDOWS:
        window = changes[-size:]
        median = np.median(window)
        kept = window[np.abs(window - median) <= _JUMP * _spread(np.asarray(median), window)]
        value, variance = float(kept.mean()), _step_variance(kept)
        error = math.sqrt(variance / len(kept)) + _ROUGHLY * abs(value)
        width = _WIDTH * error
        if chosen is not None:
            # A window with two slopes in it varies much: that must not make it agree with both.
            usual = math.sqrt(_LARGER * chosen.step_variance / len(kept))
            width = min(width, _WIDTH * (usual + _ROUGHLY * abs(value)))
        if value - width > high or value + width < low:
            break
        low, high = max(low, value - width), min(high, value + width)
        chosen = Slope(min(size, len(changes)), value, error, variance)
        if size >= len(changes):
            break
    assert chosen is not None
    return chosen


def _step_variance(steps: Numbers) -> float:
    """The variance of a day's step, from whole weeks where there are some.

    What goes up on weekdays and noise that a figure takes back the next day cancel in a week.
    """
    weeks = len(steps) // _WEEK
    if weeks >= _BLOCK // _WEEK:
        return float(steps[-weeks * _WEEK :].reshape(weeks, _WEEK).sum(axis=1).var(ddof=1)) / _WEEK
    return float(steps.var(ddof=1)) if len(steps) > 1 else 0.0


def _wiggle(changes: Numbers, is_jump: Mask, slope: Slope) -> float:
    last = min(slope.days, _BLOCK)
    level = np.cumsum(np.where(is_jump, 0.0, changes - slope.value)[-last:])
    days = np.arange(len(level))
    return float(np.std(level - np.polyval(np.polyfit(days, level, 1), days)))


def _regular_jumps(changes: Numbers, is_jump: Mask, slope: float) -> Jumps | None:
    """The jumps that will come again; None where there were too few, or they have stopped."""
    events = list(_events(changes, is_jump, slope))
    if len(events) < _REGULAR:
        return None
    at = np.array([day for day, _ in events])
    sizes = np.array([size for _, size in events])
    gaps = np.diff(at)
    interval = float(gaps.mean())
    since = len(changes) - 1 - float(at[-1])
    if since > max(2.0 * interval, float(gaps.max())):
        return None
    size, variance = float(sizes.mean()), float(sizes.var(ddof=1))
    irregular = min(1.0, float(gaps.var(ddof=1)) / interval**2)
    return Jumps(
        size=size,
        interval=interval,
        since=since,
        irregular=math.sqrt(irregular),
        rate_error=math.sqrt((variance + 0.05 * size**2) / len(sizes)) / interval,
        variance=(variance + irregular * size**2) / interval,
    )


def _events(changes: Numbers, is_jump: Mask, slope: float) -> Iterator[tuple[int, float]]:
    """Jumps of neighbouring days as one: its last day, and what it added beside the slope."""
    last, size = None, 0.0
    for day in np.nonzero(is_jump)[0].tolist():
        if last is not None and day - last > _ONE_EVENT:
            yield last, size
            size = 0.0
        last, size = day, size + float(changes[day]) - slope
    if last is not None:
        yield last, size


def _drift_variance(steady: Numbers, step_variance: float) -> float:
    """How much the slope usually changed from month to month, noise left out.

    Without the two largest changes: one step, which may fall into two pairs of months, is no drift.
    The mean of what is left is too small by about a third.
    """
    months = len(steady) // _BLOCK
    if months < 4:
        return 0.0
    slopes = steady[-months * _BLOCK :].reshape(months, _BLOCK).mean(axis=1)
    squares = np.sort(np.diff(slopes) ** 2)
    return max(1.5 * float(squares[:-2].mean()) - 2 * step_variance / _BLOCK, 0.0)


@dataclass(frozen=True, slots=True)
class _Line:
    middle: float
    change: float
    change_error: float
    deviation: float
    squares: float

    @classmethod
    def through(cls, values: Numbers) -> _Line:
        places = _places(len(values))
        change = float((places * values).sum() / (places**2).sum())
        left = values - values.mean() - change * places
        squares = float((left**2).sum())
        deviation = math.sqrt(squares / max(1, len(values) - 2))
        error = deviation / math.sqrt(float((places**2).sum()))
        return cls(float(values.mean()), change, error, deviation, squares)


def _places(count: int) -> Numbers:
    return np.arange(count, dtype=np.float64) - (count - 1) / 2


def _bend(steady: Numbers) -> Bend | None:
    """A steady change of the slope over the last weeks, the longest past that shows one.

    None where a single step explains the weeks as well: after a step the slope stays.
    """
    for weeks in range(min(len(steady) // _WEEK, _MOST_WEEKS), _LEAST_WEEKS - 1, -1):
        slopes = steady[-weeks * _WEEK :].reshape(weeks, _WEEK).mean(axis=1)
        line = _Line.through(slopes)
        is_sure = abs(line.change) > _SURE * line.change_error
        is_much = abs(line.change) * weeks > 0.1 * abs(line.middle)
        if is_sure and is_much and line.squares <= _BETTER_THAN_A_STEP * _one_step(slopes):
            return _line_or_curve(slopes, line)
    return None


def _one_step(slopes: Numbers) -> float:
    """The squares that are left of the best single step between two constant slopes."""
    return min(
        float(slopes[:k].var() * k + slopes[k:].var() * (len(slopes) - k))
        for k in range(1, len(slopes))
    )


def _line_or_curve(slopes: Numbers, line: _Line) -> Bend:
    weeks = len(slopes)
    days = _WEEK * weeks
    ahead = (weeks - 1) / 2 + 0.5
    spread = math.sqrt(1 / weeks + ahead**2 / float((_places(weeks) ** 2).sum()))
    error = line.deviation * spread
    if line.change > 0 and slopes.min() > 0:
        curve = _Line.through(np.log(slopes))
        fitted = np.exp(curve.middle + curve.change * _places(weeks))
        if float(((slopes - fitted) ** 2).sum()) < line.squares:
            now = math.exp(curve.middle + curve.change * ahead)
            return Bend("curve", days, now, error, curve.change / _WEEK, curve.change_error / _WEEK)
    now = line.middle + line.change * ahead
    return Bend("line", days, now, error, line.change / _WEEK, line.change_error / _WEEK)
