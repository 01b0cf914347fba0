"""Shapes of growth that are drawn by chance.

Each kind of growth has its parameters drawn: rates, days of change, sizes of imports, noise, and
the disk's size. Another seed draws other ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Drawn:
    """A size in GB by day, on a disk of ``limit`` GB; see `bench.forecast.Shape`."""

    name: str
    sizes: list[float]
    limit: float
    noise: float


Draw: TypeAlias = Callable[[Random, int], Iterator[float]]
"""What a size grows by each day."""


def drawn(seed: int, days: int) -> Iterator[Drawn]:
    """One shape of each kind, and for each kind one that never fills its disk, or hardly."""
    for name, draw in KINDS.items():
        for fills in (True, False):
            chance = Random(f"{seed} {name} {fills}")
            start = chance.uniform(50, 500)
            sizes = list(accumulate(draw(chance, days), initial=start))[:days]
            yield _on_a_disk(name, sizes, chance, fills=fills)


def _on_a_disk(name: str, sizes: list[float], chance: Random, *, fills: bool) -> Drawn:
    """The shape on a disk that it fills in the course of its days, or that is large enough."""
    grown = max(sizes) - sizes[0]
    scale = max(grown, 0.05 * max(sizes))
    noise = scale / len(sizes) * chance.uniform(0.0, 3.0)
    if fills and grown > 0.2 * sizes[0]:
        day = chance.randrange(len(sizes) // 3, len(sizes) - 120)
        limit = max(sizes[: day + 1])
        return Drawn(name, sizes, limit, noise)
    return Drawn(f"{name}, on a large disk", sizes, max(sizes) * chance.uniform(1.5, 4), noise)


def _steady(chance: Random, days: int) -> Iterator[float]:
    rate = chance.lognormvariate(0.5, 1)
    yield from (rate for _ in range(days))


def _noisy(chance: Random, days: int) -> Iterator[float]:
    rate, spread = chance.lognormvariate(0.5, 0.8), chance.uniform(0.5, 4)
    yield from (rate * chance.gauss(1, spread) for _ in range(days))


def _skewed(chance: Random, days: int) -> Iterator[float]:
    """Most days little, some days much."""
    shape = chance.uniform(0.15, 1.5)
    rate = chance.lognormvariate(0.5, 0.8)
    yield from (rate * chance.gammavariate(shape, 1 / shape) for _ in range(days))


def _step(chance: Random, days: int) -> Iterator[float]:
    rate, factor = chance.lognormvariate(0.3, 0.6), chance.choice([2, 3, 5, 10])
    at = chance.randrange(60, days // 2)
    yield from (rate * (factor if day >= at else 1) for day in range(days))


def _steps(chance: Random, days: int) -> Iterator[float]:
    rate = chance.lognormvariate(0.3, 0.6)
    for _ in range(days):
        if chance.random() < 1 / 180:
            rate *= chance.choice([0.4, 0.6, 1.6, 2.5])
        yield rate


def _slower(chance: Random, days: int) -> Iterator[float]:
    rate, factor = chance.lognormvariate(1.0, 0.6), chance.uniform(0.1, 0.5)
    at = chance.randrange(60, days // 2)
    yield from (rate * (factor if day >= at else 1) for day in range(days))


def _doubling(chance: Random, days: int) -> Iterator[float]:
    first, doubles = chance.uniform(0.02, 0.3), chance.uniform(80, 300)
    yield from (first * 2 ** (day / doubles) for day in range(days))


def _power(chance: Random, days: int) -> Iterator[float]:
    rate, power = chance.lognormvariate(0.5, 0.6), chance.uniform(0.5, 2)
    yield from (rate * (day / 300) ** power for day in range(days))


def _saturating(chance: Random, days: int) -> Iterator[float]:
    rate, after = chance.lognormvariate(1.5, 0.6), chance.uniform(80, 300)
    yield from (rate * math.exp(-day / after) for day in range(days))


def _weekly(chance: Random, days: int) -> Iterator[float]:
    rate, share = chance.lognormvariate(0.5, 0.6), [chance.uniform(0, 3) for _ in range(7)]
    yield from (rate * share[day % 7] * chance.gauss(1, 0.2) for day in range(days))


def _yearly(chance: Random, days: int) -> Iterator[float]:
    rate, swing = chance.lognormvariate(0.5, 0.6), chance.uniform(0.2, 0.9)
    shift = chance.uniform(0, 365)
    yield from (
        rate * (1 + swing * math.sin(2 * math.pi * (day - shift) / 365)) for day in range(days)
    )


def _campaigns(chance: Random, days: int) -> Iterator[float]:
    """A few weeks of much growth, now and then."""
    rate, factor, left = chance.lognormvariate(0.3, 0.6), chance.uniform(3, 8), 0
    for _ in range(days):
        if left == 0 and chance.random() < 1 / 150:
            left = chance.randrange(10, 45)
        yield rate * (factor if left else 1)
        left = max(0, left - 1)


def _imports(chance: Random, days: int) -> Iterator[float]:
    rate, size, often = (
        chance.lognormvariate(0, 0.6),
        chance.uniform(10, 80),
        chance.randrange(40, 150),
    )
    for _ in range(days):
        yield rate + (size * chance.uniform(0.5, 1.5) if chance.random() < 1 / often else 0)


def _one_import(chance: Random, days: int) -> Iterator[float]:
    rate, size, at = (
        chance.lognormvariate(0, 0.6),
        chance.uniform(50, 400),
        chance.randrange(60, days // 2),
    )
    lasts = chance.choice([1, 1, 3, 7, 12])
    yield from (rate + (size / lasts if at <= day < at + lasts else 0) for day in range(days))


def _archived(chance: Random, days: int) -> Iterator[float]:
    """A sawtooth: most of what came in a month leaves at its end."""
    rate, share, every = (
        chance.lognormvariate(1, 0.6),
        chance.uniform(0.5, 1),
        chance.choice([7, 28, 30, 91]),
    )
    for day in range(1, days + 1):
        yield rate * chance.gauss(1, 0.2) - (share * rate * every if day % every == 0 else 0)


def _strays(chance: Random, days: int) -> Iterator[float]:
    rate = chance.lognormvariate(0.5, 0.6)
    wander = chance.uniform(0.01, 0.04) * rate
    for _ in range(days):
        rate = max(0.05, rate + chance.gauss(0, wander))
        yield rate


def _on_and_off(chance: Random, days: int) -> Iterator[float]:
    rate, on, off = (
        chance.lognormvariate(1, 0.5),
        chance.randrange(10, 60),
        chance.randrange(10, 60),
    )
    yield from (rate * (1 if day % (on + off) < on else 0.1) for day in range(days))


def _rebuilt(chance: Random, days: int) -> Iterator[float]:
    """Bloat that is given back at irregular times."""
    rate, bloat, grown = chance.lognormvariate(0.3, 0.6), chance.lognormvariate(0.3, 0.6), 0.0
    for _ in range(days):
        back = grown if chance.random() < 1 / 50 else 0.0
        grown += bloat - back
        yield rate + bloat - back


def _hardly(chance: Random, days: int) -> Iterator[float]:
    rate = chance.uniform(0, 0.1)
    yield from (rate + chance.gauss(0, 0.3) for _ in range(days))


def _shrinks(chance: Random, days: int) -> Iterator[float]:
    rate = chance.uniform(-0.05, 0)
    yield from (rate + chance.gauss(0, 0.1) for _ in range(days))


KINDS: Final[Mapping[str, Draw]] = {
    "steady": _steady,
    "noisy": _noisy,
    "most days little, some much": _skewed,
    "one step": _step,
    "steps up and down": _steps,
    "slower from a day on": _slower,
    "doubling": _doubling,
    "a power of time": _power,
    "saturating": _saturating,
    "by weekday": _weekly,
    "by season": _yearly,
    "campaigns of weeks": _campaigns,
    "imports at random": _imports,
    "one import": _one_import,
    "archived in turn": _archived,
    "a slope that strays": _strays,
    "on and off": _on_and_off,
    "rebuilt at random": _rebuilt,
    "hardly any growth": _hardly,
    "shrinking": _shrinks,
}
