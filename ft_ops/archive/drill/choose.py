"""Which month a drill takes: at random, those that were proven longest ago sooner than others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from ft_ops.archive.month.states import Ledger, month_words
from ft_ops.months import Month

Place: TypeAlias = Literal["first", "second"]
"""Of which bucket the objects are read."""

_OLDEST: Final = 3
"""Drawn is one of the third that was proven longest ago, and of three months at least."""


@dataclass(frozen=True, slots=True)
class Proof:
    """When a month was last proven: by the proof before its purge, or by a drill since."""

    month: Month
    proven_at: datetime
    drilled_at: datetime | None
    ledger: Ledger = "archive"

    @property
    def name(self) -> str:
        return month_words(self.month, self.ledger)

    @property
    def newest(self) -> datetime:
        return max(self.proven_at, self.drilled_at or self.proven_at)


def begin_of_month(now: datetime) -> datetime:
    """Proofs from then on do not count for this month's choice: asked again, it is the same."""
    return datetime(now.year, now.month, 1, tzinfo=UTC)


def ranked(proofs: Sequence[Proof], now: datetime) -> list[Proof]:
    """Every month in this month's order: the first that can be afforded is drilled.

    Months that no drill has read come before others, and within each kind a month of the oldest
    third is drawn next, seeded by the month of ``now``.
    """
    chance = random.Random(f"archive drill {now:%Y-%m}")
    order: list[Proof] = []
    for never in (True, False):
        left = sorted(
            (proof for proof in proofs if (proof.drilled_at is None) == never),
            key=lambda proof: (proof.newest, proof.month, proof.ledger),
        )
        while left:
            oldest = left[: max(_OLDEST, len(left) // 3)]
            drawn = chance.choice(oldest)
            left.remove(drawn)
            order.append(drawn)
    return order


def drawn_place(now: datetime, *, has_second: bool) -> Place:
    """The bucket to read, in turns where there are two: a copy that nobody reads is a hope."""
    return "second" if has_second and (now.year * 12 + now.month) % 2 else "first"
