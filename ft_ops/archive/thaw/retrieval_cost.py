"""What a retrieval costs and how long it takes, by a price list with a date."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ft_ops.archive.cost.prices import GB, Prices
from ft_ops.archive.month.generation import Generation
from ft_ops.errors import Refused
from ft_ops.s3.glacier import NEEDS_RESTORE, Tier
from ft_ops.s3.objects import StoredObject


@dataclass(frozen=True, slots=True)
class ThawEstimate:
    """Before anything is asked for: how much, how long at most, and what it costs about."""

    objects: int
    bytes: int
    tier: str
    longest_hours: float
    dollars: float
    prices_as_of: str


def estimate_thaw(
    generations: list[Generation], tier: Tier, days: int, prices: Prices
) -> ThawEstimate:
    """What it takes to read these generations: retrieval, requests, and the copies' storage."""
    stored = [item.stored for generation in generations for item in generation.objects]
    return estimate_objects(stored, tier, days, prices)


def estimate_objects(
    stored_objects: Iterable[StoredObject], tier: Tier, days: int, prices: Prices
) -> ThawEstimate:
    """The same of single objects; those that can be read at once cost nothing."""
    objects = [o for o in stored_objects if o.storage_class in NEEDS_RESTORE]
    dollars = hours = 0.0
    for stored in objects:
        offers = prices.retrieval[stored.storage_class]
        if tier not in offers:
            raise Refused(
                f"thaw by {tier}",
                cause=f"{stored.storage_class} has only {', '.join(sorted(offers))}",
                next_step="choose one of these tiers",
            )
        offer = offers[tier]
        dollars += stored.bytes / GB * offer.per_gb + offer.per_1000_requests / 1000
        dollars += stored.bytes / GB * prices.standard_per_gb_month * days / 30
        hours = max(hours, offer.hours)
    return ThawEstimate(
        len(objects), sum(o.bytes for o in objects), tier, hours, round(dollars, 4), prices.as_of
    )
