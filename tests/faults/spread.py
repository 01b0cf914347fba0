"""Which of a step's many points a run of the tests strikes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """Every point, which takes hours; or some, evenly spread, and others in each run."""

    every: bool
    chance: random.Random

    def among(self, points: Sequence[T], most: int) -> Sequence[T]:
        if self.every:
            return points
        # Odd: points come in pairs, before and in flight, and both get their turn.
        stride = max(1, -(-len(points) // most)) | 1
        return points[self.chance.randrange(min(stride, len(points))) :: stride] if points else []
