"""What a retrieval costs is known before it is asked for, by a price list with a date."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ft_ops.archive.cost.prices import GB, Prices, Retrieval, load_prices
from ft_ops.archive.thaw.retrieval_cost import ThawEstimate, estimate_thaw
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.objects import StoredObject

PRICES = Prices(
    as_of="2026-01-31",
    region="nowhere-1",
    standard_per_gb_month=3.0,
    retrieval={
        "GLACIER": {
            "Standard": Retrieval(per_gb=10.0, per_1000_requests=1000.0, hours=5),
            "Bulk": Retrieval(per_gb=1.0, per_1000_requests=0.0, hours=12),
        },
        "DEEP_ARCHIVE": {"Standard": Retrieval(per_gb=20.0, per_1000_requests=2000.0, hours=4)},
    },
)


def generation(*objects: tuple[str, float]) -> Any:
    """One with objects of these storage classes and sizes in GB; nothing else of it counts."""
    return SimpleNamespace(
        objects=tuple(
            SimpleNamespace(stored=_stored(part, storage_class, size))
            for part, (storage_class, size) in enumerate(objects)
        )
    )


def _stored(part: int, storage_class: str, size: float) -> StoredObject:
    return StoredObject(f"archive/{part}", "1", int(size * GB), "", storage_class)


@pytest.mark.parametrize(
    ("days", "dollars"),
    [
        # 2 GB and one request, and the copy's storage for a part of a month of 30 days.
        (30, 20 + 1 + 6),
        (1, 20 + 1 + 0.2),
        (60, 20 + 1 + 12),
    ],
)
def test_an_object_costs_its_bytes_its_request_and_the_storage_of_its_copy(
    days: int, dollars: float
) -> None:
    found = estimate_thaw([generation(("GLACIER", 2))], "Standard", days, PRICES)
    assert found == ThawEstimate(1, 2 * GB, "Standard", 5, dollars, "2026-01-31")


def test_the_objects_of_all_generations_add_up_and_the_slowest_class_is_waited_for() -> None:
    generations = [
        generation(("GLACIER", 1), ("DEEP_ARCHIVE", 1)),
        generation(("DEEP_ARCHIVE", 0.5), ("STANDARD", 7), ("GLACIER_IR", 7)),
    ]
    found = estimate_thaw(generations, "Standard", 30, PRICES)
    # What can be read as it is costs nothing and is not counted.
    assert (found.objects, found.bytes) == (3, int(2.5 * GB))
    assert found.longest_hours == 5
    assert found.dollars == 10 + 1.5 * 20 + 1 + 2 * 2 + 2.5 * 3


def test_dollars_are_told_to_a_hundredth_of_a_cent() -> None:
    found = estimate_thaw([generation(("GLACIER", 0.001_234_5))], "Bulk", 10, PRICES)
    assert found.dollars == 0.0025


def test_what_needs_no_retrieval_costs_nothing() -> None:
    found = estimate_thaw([generation(("STANDARD", 7))], "Bulk", 30, PRICES)
    assert found == ThawEstimate(0, 0, "Bulk", 0.0, 0.0, "2026-01-31")
    assert estimate_thaw([], "Bulk", 30, PRICES) == found


def test_a_tier_that_one_of_the_classes_lacks_is_refused_with_those_it_has() -> None:
    generations = [generation(("GLACIER", 1), ("DEEP_ARCHIVE", 1))]
    with pytest.raises(Refused) as refused:
        estimate_thaw(generations, "Bulk", 30, PRICES)
    assert refused.value.what == "thaw by Bulk"
    assert refused.value.cause == "DEEP_ARCHIVE has only Standard"
    with pytest.raises(Refused, match="GLACIER has only Bulk, Standard"):
        estimate_thaw(generations, "Expedited", 30, PRICES)


def test_the_list_that_comes_along_has_every_class_that_must_be_asked_for() -> None:
    prices = load_prices()
    assert prices.retrieval.keys() == {"GLACIER", "DEEP_ARCHIVE"}
    assert prices.retrieval["DEEP_ARCHIVE"].keys() == {"Standard", "Bulk"}
    # A terabyte by Bulk, readable for a week.
    found = estimate_thaw([generation(("DEEP_ARCHIVE", 1000))], "Bulk", 7, prices)
    assert found.longest_hours == 48
    assert found.dollars == pytest.approx(2.5 + 0.000_025 + 23 * 7 / 30, abs=0.0001)


def test_a_deployments_own_list_is_read_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    own = tmp_path / "prices.json"
    own.write_text(PRICES.model_dump_json().replace("nowhere-1", "größer"), encoding="utf-8")
    assert load_prices(own) == PRICES.model_copy(update={"region": "größer"})
    document = json.loads(own.read_text(encoding="utf-8"))
    for damaged in ("", "[]", json.dumps({**document, "discount": 1})):
        own.write_text(damaged, encoding="utf-8")
        with pytest.raises(OpsError) as refused:
            load_prices(own)
        assert refused.value.what == f"price list {own}"
        assert refused.value.cause
    assert "discount" in refused.value.cause
    with pytest.raises(OpsError, match=r"No such file.*prices\.json"):
        load_prices(tmp_path / "none.json")
