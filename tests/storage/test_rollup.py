"""Months are counted in runs that keep every reader busy to the end."""

from __future__ import annotations

from ft_ops.months import Month
from ft_ops.storage.changes import AttachedMonth
from ft_ops.storage.rollup import MOST_BYTES_AT_ONCE, neighbours

MEGABYTE = 1 << 20


def runs(sizes: dict[Month, int], readers: int) -> list[list[Month]]:
    months = {month: AttachedMonth("", megabytes * MEGABYTE) for month, megabytes in sizes.items()}
    return [list(run) for run in neighbours(months, readers)]


def year(megabytes: int) -> dict[Month, int]:
    return dict.fromkeys(Month(2024, 1).until(Month(2024, 12)), megabytes)


def test_each_reader_gets_an_equal_share() -> None:
    assert [len(run) for run in runs(year(20), readers=2)] == [6, 6]
    assert [len(run) for run in runs(year(20), readers=3)] == [4, 4, 4]


def test_no_run_is_larger_than_the_limit_and_the_rounds_are_whole() -> None:
    found = runs(year(240), readers=2)
    assert [len(run) for run in found] == [3, 3, 3, 3]
    assert all(len(run) * 240 * MEGABYTE <= MOST_BYTES_AT_ONCE for run in found)


def test_a_month_above_the_limit_is_a_run_of_its_own() -> None:
    assert [len(run) for run in runs(year(900), readers=2)] == [1] * 12


def test_small_months_are_not_scattered_over_the_readers() -> None:
    assert [len(run) for run in runs(year(1), readers=4)] == [12]


def test_a_gap_ends_a_run_and_nothing_is_left_out() -> None:
    sizes = year(1)
    del sizes[Month(2024, 5)]
    assert [run[0] for run in runs(sizes, readers=2)] == [Month(2024, 1), Month(2024, 6)]
    assert [month for run in runs(sizes, readers=2) for month in run] == sorted(sizes)
    assert runs({}, readers=2) == []
