"""The price list: what S3 asks for, in US dollars, with the date on which it was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from ft_ops.errors import OpsError

GB: Final = 1_000_000_000


class Retrieval(BaseModel):
    """One tier of one storage class, in US dollars; ``hours`` is the longest usual wait."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_gb: float
    per_1000_requests: float
    hours: float


class Storage(BaseModel):
    """What one storage class asks for an object, in US dollars.

    A smaller object is billed as one of ``least_bytes``, and one that is removed earlier as if it
    had stayed ``least_days``. Beside each object lie ``added_bytes`` in its class and
    ``added_standard_bytes`` in STANDARD.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_gb_month: NonNegativeFloat
    per_1000_writes: NonNegativeFloat
    least_days: NonNegativeInt = 0
    least_bytes: NonNegativeInt = 0
    added_bytes: NonNegativeInt = 0
    added_standard_bytes: NonNegativeInt = 0


class Prices(BaseModel):
    """A price list: where and when it was read, and what it says.

    A deployment's own list of an earlier version has no ``storage``: what keeping costs is then
    unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str
    region: str
    standard_per_gb_month: float
    retrieval: dict[str, dict[str, Retrieval]]
    storage: dict[str, Storage] = Field(default_factory=dict)


def load_prices(path: Path | None = None) -> Prices:
    """The price list that comes along, or the deployment's own (FT_ARCHIVE_PRICES_FILE)."""
    path = path or Path(__file__).with_name("prices.json")
    try:
        return Prices.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise OpsError(
            f"price list {path}",
            cause=str(error),
            next_step="copy ft_ops/archive/cost/prices.json and correct its figures",
        ) from error
