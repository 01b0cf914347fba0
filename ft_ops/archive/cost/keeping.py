"""What it costs to write objects once and to keep them for a year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ft_ops.archive.cost.prices import GB, Prices
from ft_ops.format import human_dollars
from ft_ops.s3.objects import StoredObject

_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class KeepingCost:
    """Of some objects, as they lie: their bytes by storage class, and US dollars.

    ``to_write`` counts one request for each object into its class. The parts of a large upload, the
    proof's reads and the first version in STANDARD are left out: together they are fractions of a
    cent a month.
    """

    objects: int
    bytes_by_class: Mapping[str, int]
    to_write: float
    a_year: float
    prices_as_of: str

    def __str__(self) -> str:
        a_year, once = human_dollars(self.a_year), human_dollars(self.to_write)
        return f"{a_year} a year, and {once} once to write (prices of {self.prices_as_of})"


def cost_of_keeping(objects: Iterable[StoredObject], prices: Prices) -> KeepingCost | None:
    """What these objects cost; None when the price list does not know one of their classes."""
    stored = list(objects)
    if any(item.storage_class not in prices.storage for item in stored):
        return None
    sizes: Counter[str] = Counter()
    write = month = 0.0
    for item in stored:
        price = prices.storage[item.storage_class]
        sizes[item.storage_class] += item.bytes
        billed = max(item.bytes, price.least_bytes) + price.added_bytes
        write += price.per_1000_writes / 1000
        month += billed / GB * price.per_gb_month
        month += price.added_standard_bytes / GB * prices.standard_per_gb_month
    return KeepingCost(len(stored), dict(sizes), write, _MONTHS * month, prices.as_of)
