"""A forecast goes on as the series went, and its band holds as often as it says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from ft_ops.health import Forecast, forecast
from ft_ops.standing import Point

FIRST = datetime(2026, 1, 1, 6, tzinfo=UTC)


def points(values: Sequence[float | None], first: datetime = FIRST) -> list[Point]:
    """A figure a day; None is a day without one."""
    return [
        Point(first + timedelta(days=day), value)
        for day, value in enumerate(values)
        if value is not None
    ]


def known(values: Sequence[float | None]) -> Forecast:
    found = forecast(points(values))
    assert found is not None
    return found


def test_a_straight_line_goes_on_without_a_band() -> None:
    found = known([100.0 + 5 * day for day in range(30)])
    assert found.first == date(2026, 1, 31)
    assert found.daily_growth == pytest.approx(5)
    assert found.expected[:3] == pytest.approx((250, 255, 260))
    assert found.lower[100] == pytest.approx(found.upper[100])
    assert found.reaches(300) == found.may_reach(300) == date(2026, 2, 10)


def test_what_does_not_grow_reaches_nothing() -> None:
    found = known([1.2e12] * 30)
    assert found.expected[-1] == pytest.approx(1.2e12)
    assert found.reaches(1.3e12) is None
    assert found.may_reach(1.3e12) is None


@pytest.mark.parametrize("days", [0, 1, 13])
def test_a_short_history_allows_no_forecast(days: int) -> None:
    assert forecast(points([float(day) for day in range(days)])) is None


def test_several_figures_a_day_count_as_one_day() -> None:
    hourly = [Point(FIRST + timedelta(hours=hour), 1.0) for hour in range(12 * 24)]
    assert forecast(hourly) is None


def test_days_without_a_figure_do_not_change_a_line() -> None:
    whole = [7.0 * day for day in range(40)]
    gaps = [None if day in {5, 6, 7, 20} else value for day, value in enumerate(whole)]
    assert known(gaps).expected == pytest.approx(known(whole).expected)


def test_the_band_opens_with_time_and_holds_the_expectation() -> None:
    dice = Random(1)
    found = known(_walk(dice, 90))
    widths = [upper - lower for lower, upper in zip(found.lower, found.upper, strict=True)]
    assert widths == sorted(widths)
    assert all(
        low < mid < high
        for low, mid, high in zip(found.lower, found.expected, found.upper, strict=True)
    )
    earliest, expected = found.may_reach(2000), found.reaches(2000)
    assert earliest is not None
    assert expected is not None
    assert earliest < expected


def test_the_band_holds_nine_futures_in_ten() -> None:
    """Of random walks that the model is right about, whatever unit they are counted in."""
    dice = Random(7)
    held = 0
    futures = 200
    for _ in range(futures):
        walk = [1e9 * value for value in _walk(dice, 120)]
        found = known(walk[:60])
        held += found.lower[59] <= walk[119] <= found.upper[59]
    assert 0.84 <= held / futures <= 0.96


def _walk(dice: Random, days: int) -> list[float]:
    value, values = 1000.0, []
    for _ in range(days):
        value += dice.gauss(5, 3)
        values.append(value)
    return values
