"""What a retrieval costs and how long it takes, by configuration with a date."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ft_ops.archive.month.generation import Generation
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.glacier import NEEDS_RESTORE, Tier
from ft_ops.s3.objects import StoredObject

GB = 1_000_000_000


class Retrieval(BaseModel):
    """One tier of one storage class, in US dollars; ``hours`` is the longest usual wait."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_gb: float
    per_1000_requests: float
    hours: float


class Prices(BaseModel):
    """A price list: where and when it was read, and what it says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str
    region: str
    standard_per_gb_month: float
    retrieval: dict[str, dict[str, Retrieval]]


@dataclass(frozen=True, slots=True)
class ThawEstimate:
    """Before anything is asked for: how much, how long at most, and what it costs about."""

    objects: int
    bytes: int
    tier: str
    longest_hours: float
    dollars: float
    prices_as_of: str


def load_prices(path: Path | None = None) -> Prices:
    """The price list that comes along, or the deployment's own (FT_ARCHIVE_PRICES_FILE)."""
    path = path or Path(__file__).with_name("prices.json")
    try:
        return Prices.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise OpsError(
            f"price list {path}",
            cause=str(error),
            next_step="copy ft_ops/archive/thaw/prices.json and correct its figures",
        ) from error


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
