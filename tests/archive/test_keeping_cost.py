"""What an archived month costs a year, and what it cost to write it."""

from __future__ import annotations

import pytest

from ft_ops.archive.cost.keeping import KeepingCost, cost_of_keeping
from ft_ops.archive.cost.prices import GB, Prices, Storage, load_prices
from ft_ops.s3.objects import StoredObject

PRICES = Prices(
    as_of="2026-01-31",
    region="nowhere-1",
    standard_per_gb_month=100.0,
    retrieval={},
    storage={
        "STANDARD": Storage(per_gb_month=100.0, per_1000_writes=1.0),
        "GLACIER_IR": Storage(per_gb_month=10.0, per_1000_writes=2.0, least_bytes=GB // 10),
        "DEEP_ARCHIVE": Storage(
            per_gb_month=1.0,
            per_1000_writes=3.0,
            added_bytes=GB // 4,
            added_standard_bytes=GB // 100,
        ),
    },
)


def stored(storage_class: str, size: float) -> StoredObject:
    return StoredObject("archive/1", "1", int(size * GB), "", storage_class)


def found(*objects: StoredObject, prices: Prices = PRICES) -> KeepingCost:
    cost = cost_of_keeping(objects, prices)
    assert cost is not None
    return cost


def test_an_object_costs_its_bytes_for_twelve_months_and_one_request() -> None:
    assert found(stored("STANDARD", 2)) == KeepingCost(
        1, {"STANDARD": 2 * GB}, 0.001, 12 * 200.0, "2026-01-31"
    )


def test_what_lies_beside_each_object_is_billed_in_both_classes() -> None:
    cost = found(stored("DEEP_ARCHIVE", 1), stored("DEEP_ARCHIVE", 1))
    assert cost.a_year == pytest.approx(12 * 2 * (1.25 * 1 + 0.01 * 100))
    # What is told are the bytes that are ours.
    assert cost.bytes_by_class == {"DEEP_ARCHIVE": 2 * GB}
    assert cost.to_write == pytest.approx(0.006)


@pytest.mark.parametrize(("size", "billed"), [(0.05, 0.1), (0.1, 0.1), (0.15, 0.15)])
def test_a_small_object_is_billed_as_one_of_the_least_size(size: float, billed: float) -> None:
    assert found(stored("GLACIER_IR", size)).a_year == pytest.approx(12 * 10 * billed)


def test_the_classes_of_a_generation_add_up_and_are_told_apart() -> None:
    cost = found(stored("STANDARD", 1), stored("DEEP_ARCHIVE", 3))
    assert cost.objects == 2
    assert cost.bytes_by_class == {"STANDARD": GB, "DEEP_ARCHIVE": 3 * GB}
    assert str(found(stored("STANDARD", 0.001))) == (
        "$1.20 a year, and less than one cent once to write (prices of 2026-01-31)"
    )


def test_a_list_without_the_class_says_nothing_instead_of_nothing_to_pay() -> None:
    assert cost_of_keeping([stored("STANDARD", 1), stored("GLACIER", 1)], PRICES) is None
    earlier = Prices(as_of="", region="", standard_per_gb_month=1, retrieval={})
    assert cost_of_keeping([stored("STANDARD", 1)], earlier) is None


def test_the_list_that_comes_along_knows_each_class_that_a_month_can_be_kept_in() -> None:
    prices = load_prices()
    classes = ("STANDARD", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
    yearly = [found(stored(name, 1000), prices=prices).a_year for name in classes]
    assert yearly == sorted(yearly, reverse=True)
    # A terabyte in the cheapest class.
    assert yearly[-1] == pytest.approx(11.88, abs=0.01)
    assert prices.standard_per_gb_month == prices.storage["STANDARD"].per_gb_month
