"""A forecast goes on as the series went, and its band holds as often as it says."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from bench.forecast import judge, shapes
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


def test_a_straight_line_goes_on_nearly_without_a_band() -> None:
    found = known([100.0 + 5 * day for day in range(30)])
    assert found.first == date(2026, 1, 31)
    assert found.daily_growth == pytest.approx(5)
    assert found.expected[:3] == pytest.approx((250, 255, 260))
    assert found.lower[100] == pytest.approx(found.upper[100], rel=0.03)
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


def test_the_band_holds_nine_futures_of_a_random_walk_in_ten() -> None:
    """Whatever unit it is counted in."""
    dice = Random(7)
    held = 0
    futures = 200
    for _ in range(futures):
        walk = [1e9 * value for value in _walk(dice, 120)]
        found = known(walk[:60])
        held += found.lower[59] <= walk[119] <= found.upper[59]
    assert held / futures >= 0.84


def test_over_all_shapes_of_growth_warnings_come_early_and_are_rarely_false() -> None:
    """`make bench BENCH=forecast` asks the same on more days."""
    chance = Random(1)
    judged = [judge(shape, every=31, chance=chance) for shape in shapes()]
    filling = [each for each in judged if each.shape.full is not None]
    assert len(filling) >= 30
    assert sum(each.is_late for each in filling) <= len(filling) / 10
    assert sum(each.is_false for each in judged) <= len(judged) / 10
    held = sum(each.held for each in judged) / sum(each.asked for each in judged)
    assert 0.87 <= held <= 0.96


def test_after_a_step_the_new_slope_counts_within_a_fortnight() -> None:
    dice = Random(2)
    stepped = [day + 5 * max(0, day - 300) + dice.gauss(0, 0.1) for day in range(315)]
    assert known(stepped).daily_growth == pytest.approx(6, abs=0.2)


def test_what_nobody_could_foresee_a_week_ago_is_not_feared_yet() -> None:
    """Days of an import that goes on look like growth; growth is still there a week later."""

    def grown(days: int) -> Forecast:
        return known([100 + 0.1 * day + 8 * max(0, day - 99) for day in range(100 + days)])

    assert grown(10).reaches(1000) is not None
    assert grown(10).may_reach(1000) is None
    for days in (20, 30):
        feared = grown(days).may_reach(1000)
        assert feared is not None
        assert abs((feared - date(2026, 8, 1)).days) < 10


def test_one_import_is_forgotten_within_a_fortnight() -> None:
    dice = Random(2)
    for after in (14, 30, 280):
        sizes = [100 + 400 * (day >= 20) + dice.gauss(0, 0.05) for day in range(20 + after)]
        assert known(sizes).may_reach(1000) is None


def test_imports_that_come_each_month_are_part_of_the_growth() -> None:
    sizes = [100 + 0.5 * day + 30 * (day // 30) for day in range(200)]
    assert known(sizes).daily_growth == pytest.approx(1.5, rel=0.05)


def test_growth_that_doubles_is_carried_on_as_such() -> None:
    """A straight line from here would take twice as long."""
    found = known([50 * 2 ** (day / 60) for day in range(200)]).reaches(1000)
    assert found is not None
    assert (found - FIRST.date()).days == pytest.approx(60 * math.log2(20), abs=8)


def test_a_purge_ends_the_alarm_and_growth_goes_on_from_there() -> None:
    sizes = [500 + 2 * day - (500 if day >= 200 else 0) for day in range(240)]
    found = known(sizes)
    assert found.daily_growth == pytest.approx(2)
    full = found.reaches(1000)
    assert full is not None
    assert (full - found.first).days == pytest.approx((1000 - sizes[-1]) / 2, abs=2)


def test_a_gap_of_months_is_a_slope_and_no_jump() -> None:
    sizes = [300 + 2.0 * day if day < 20 or day >= 220 else None for day in range(240)]
    assert known(sizes).daily_growth == pytest.approx(2)


@pytest.mark.parametrize("sizes", [[0.0] * 40, [1e15] * 40, [5.0] * 39 + [1e13], [1e13] * 39 + [0]])
def test_whatever_the_figures_the_forecast_is_finite(sizes: list[float]) -> None:
    found = known(sizes)
    assert all(map(math.isfinite, (*found.expected, *found.lower, *found.upper)))
    assert all(map(operator.le, found.lower, found.upper))


def _walk(dice: Random, days: int) -> list[float]:
    value, values = 1000.0, []
    for _ in range(days):
        value += dice.gauss(5, 3)
        values.append(value)
    return values
