"""The forecast of when a disk is full, on shapes of growth that databases have.

Each shape is a size in GB for each day, with noise, and a disk. Every few days of that history, the
forecast is made from what was known then. Three things are measured: how many days before the disk
is full the first lasting warning comes; for how many shapes there is a warning although the disk
does not become full; and how often the later sizes are within the band of the forecast.

The forecast was tuned on these shapes. Other shapes are drawn at random, from seeds that it was not
tuned on: twenty kinds of growth, most of which change suddenly. The check always warns of a volume
that is four fifths full. So from there on no warning counts as false, and the check's own warning
counts as one. The result of the forecast alone is given beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Final

from bench._drawn_growth import drawn as drawn_growth
from bench.frame import BenchContext, Result
from ft_ops.health import NEARLY_FULL, Forecast, forecast
from ft_ops.standing import Point

DAYS: Final = 1200
FIRST: Final = datetime(2024, 1, 1, 6, tzinfo=UTC)
WARNED_DAYS: Final = 90
"""The default of FT_DISK_WARNING_DAYS."""
FAR_DAYS: Final = 2 * WARNED_DAYS
"""A disk that is full later than that should not have been warned of."""
EARLY_DAYS: Final = 60
FALSE_SHARE: Final = 0.01
SEEDS: Final = (201, 202, 203)
"""Of the drawn shapes: the forecast was tuned on others."""
_HISTORY: Final = 400
_AHEAD: Final = (30, 60, 90)


@dataclass(frozen=True, slots=True)
class Shape:
    """A size in GB by day on a disk of ``limit`` GB.

    On the day of ``relief`` somebody makes room, or growth slows down: until then a warning is
    right, though the disk is never full.
    """

    name: str
    sizes: Sequence[float]
    limit: float = 1000.0
    noise: float = 0.1
    relief: int = 0

    @property
    def full(self) -> int | None:
        """The day on which the disk is full, None when it never is."""
        return next((day for day, size in enumerate(self.sizes) if size >= self.limit), None)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the forecast was worth on one shape.

    ``warned_days`` are those between the warning that stayed and the full disk; 0 without one.
    ``false_share`` of the days were warned of wrongly; the band held ``held`` of ``asked`` sizes.
    ``alone`` are both of the forecast without what the check says of a disk that is nearly full.
    """

    shape: Shape
    warned_days: int
    false_share: float
    alone: tuple[int, float]
    held: int
    asked: int

    @property
    def is_late(self) -> bool:
        return self.shape.full is not None and self.warned_days < EARLY_DAYS

    @property
    def is_false(self) -> bool:
        """Whether more than one day in a hundred was warned of wrongly."""
        return self.false_share > FALSE_SHARE


def shapes(days: int = DAYS) -> list[Shape]:
    """Steady, step, exponential, seasonal, imports, purges, and what never fills."""
    return [*_filling(days), *_never_full(days)]


@dataclass(slots=True)
class _Count:
    """Warnings so far: since when there is one, and on how many of the days it was wrong."""

    warned_days: int = 0
    wrong: int = 0
    days: int = 0

    def add(self, left: float, *, is_warned: bool, is_wrong: bool, counts: bool) -> None:
        self.warned_days = (self.warned_days or int(min(left, 10**6))) if is_warned else 0
        if counts:
            self.days += 1
            self.wrong += is_wrong

    def of(self, full: int | None) -> tuple[int, float]:
        return 0 if full is None else self.warned_days, self.wrong / max(1, self.days)


def judge(shape: Shape, *, every: int = 7, chance: Random) -> Judgement:
    """Ask the forecast on every so many days until the disk is full."""
    full = shape.full
    sizes = [1e9 * (size + chance.gauss(0, shape.noise)) for size in shape.sizes]
    moments = [FIRST + timedelta(days=day) for day in range(len(sizes))]
    alone, check, held, asked = _Count(), _Count(), 0, 0
    for today in range(28, full or len(sizes) - max(_AHEAD) - 1, every):
        past = range(max(0, today - _HISTORY), today + 1)
        found = forecast([Point(moments[day], sizes[day]) for day in past])
        assert found is not None
        left = math.inf if full is None else full - today
        is_full = sizes[today] >= NEARLY_FULL * 1e9 * shape.limit
        is_warned = _is_warned(found, shape, moments[today])
        is_wrong, counts = is_warned and left > FAR_DAYS, today >= shape.relief
        alone.add(left, is_warned=is_warned, is_wrong=is_wrong, counts=counts)
        check.add(
            left,
            is_warned=is_warned or is_full,
            is_wrong=is_wrong,
            counts=counts and not is_full,
        )
        for ahead in _AHEAD:
            if today + ahead < len(sizes):
                asked += 1
                held += found.lower[ahead - 1] <= sizes[today + ahead] <= found.upper[ahead - 1]
    return Judgement(shape, *check.of(full), alone.of(full), held, asked)


def run(context: BenchContext) -> Iterator[Result]:
    every = 28 if context.is_quick else 5
    chance = Random(20_26)
    fixed = [judge(shape, every=every, chance=chance) for shape in shapes()]
    for judgement in fixed:
        context.log(_words(judgement))
    yield from _results("", "shapes of growth", fixed)
    others = [
        judge(
            Shape(drawn.name, drawn.sizes, drawn.limit, drawn.noise),
            every=every + 2,
            chance=Random(f"{seed} {drawn.name}"),
        )
        for seed in (SEEDS[:1] if context.is_quick else SEEDS)
        for drawn in drawn_growth(seed, DAYS)
    ]
    yield from _results("drawn_", "drawn shapes of growth", others)


def _words(judgement: Judgement) -> str:
    return (
        f"{judgement.shape.name}: warned {judgement.warned_days} days before it was full, "
        f"{judgement.false_share:.1%} false, band held {judgement.held} of {judgement.asked}"
    )


def _results(prefix: str, of: str, judgements: Sequence[Judgement]) -> Iterator[Result]:
    filling = [j for j in judgements if j.shape.full is not None]
    late = [j.shape.name for j in filling if j.is_late]
    false = [j.shape.name for j in judgements if j.is_false]
    late_alone = [j for j in filling if j.alone[0] < EARLY_DAYS]
    false_alone = [j for j in judgements if j.alone[1] > FALSE_SHARE]
    held = sum(j.held for j in judgements) / sum(j.asked for j in judgements)
    figures: Sequence[tuple[str, str, float, float | None, str]] = (
        ("late", "warned later than 60 days before it is full", _percent(late, filling), 10.0,
         ", ".join(late)),
        ("false", "warned of without need", _percent(false, judgements), 10.0, ", ".join(false)),
        ("late_alone", "the same of the forecast alone: late", _percent(late_alone, filling), None,
         ""),
        ("false_alone", "the same of the forecast alone: without need",
         _percent(false_alone, judgements), None, ""),
        ("outside", "later sizes outside the band of 90 %", 100 * (1 - held), None, ""),
    )  # fmt: skip
    for name, what, value, goal, note in figures:
        yield Result(
            name=f"forecast_{prefix}{name}",
            work=f"forecast of a full disk, {of}: {what}"
            if prefix
            else f"forecast of a full disk: {what}",
            against="",
            unit="%",
            ours=value,
            goal=goal,
            n=len(judgements),
            spread=0.0,
            size=f"{len(filling)} {of} that fill the disk, {len(judgements) - len(filling)} that "
            "don't",
            note=note,
        )


def _is_warned(found: Forecast, shape: Shape, now: datetime) -> bool:
    earliest = found.may_reach(1e9 * shape.limit)
    return earliest is not None and (earliest - now.date()).days <= WARNED_DAYS


def _percent(some: Sequence[object], of: Sequence[object]) -> float:
    return 100 * len(some) / len(of)


def _grown(days: int, start: float, rate: Callable[[int], float]) -> list[float]:
    """A size that begins at ``start`` and grows by ``rate`` each day."""
    return list(accumulate(map(rate, range(days)), initial=start))[:days]


def _by_day(days: int, size: Callable[[int], float]) -> list[float]:
    return [size(day) for day in range(days)]


def _filling(days: int) -> Iterator[Shape]:
    def of(name: str, size: Callable[[int], float], **how: float) -> Shape:
        return Shape(name, _by_day(days, size), **how)  # type: ignore[arg-type]

    def grown(name: str, start: float, rate: Callable[[int], float], **how: float) -> Shape:
        return Shape(name, _grown(days, start, rate), **how)  # type: ignore[arg-type]

    chance = Random(5)
    strays = list(accumulate((chance.gauss(0, 0.05) for _ in range(days)), initial=2.0))
    uneven = [max(0.0, chance.gauss(2, 3)) for _ in range(days)]
    heavy = [chance.lognormvariate(0, 1) for _ in range(days)]
    imports = (40, 75, 160, 171, 260, 300, 333, 420, 470, 555, 600, 640, 690, 700, 790)
    yield of("steady, 2 GB a day", lambda d: 200 + 2 * d)
    yield of("steady, 0.5 GB a day", lambda d: 500 + 0.5 * d)
    yield of("steady, 20 GB a day", lambda d: 100 + 20 * d, limit=9000)
    yield of("steady with noise", lambda d: 300 + 2 * d, noise=3)
    yield of("steady with much noise", lambda d: 300 + 2 * d, noise=6)
    yield of("step from 1 to 6", lambda d: 200 + min(d, 365) + 6 * max(0, d - 365))
    yield of("step from 1 to 6, larger", lambda d: 200 + min(d, 365) + 6 * max(0, d - 365),
             limit=1500)  # fmt: skip
    yield of("step from 1 to 20", lambda d: 200 + min(d, 365) + 20 * max(0, d - 365), limit=3000)
    yield of("step from 1 to 3", lambda d: 200 + min(d, 300) + 3 * max(0, d - 300))
    yield of("step from 5 to 2", lambda d: 100 + 5 * min(d, 100) + 2 * max(0, d - 100), relief=110)
    yield of("step from 6 to 1", lambda d: 100 + 6 * min(d, 100) + max(0, d - 100), relief=110)
    yield of("a slow start", lambda d: 300 + 2.5 * max(0, d - 150))
    yield of("doubles in 240 days", lambda d: 100 * 2 ** (d / 240))
    yield of("doubles in 120 days", lambda d: 30 * 2 ** (d / 120))
    yield of("doubles in 60 days", lambda d: 5 * 2 ** (d / 60))
    yield of("doubles in 40 days", lambda d: 2 ** (d / 40))
    yield of("with the square", lambda d: 20 + 0.004 * d**2)
    yield of("with the cube", lambda d: 20 + 0.00002 * d**3)
    yield grown("weekdays", 200, lambda d: 3.0 if d % 7 < 5 else 0.0)
    yield grown("weekends", 200, lambda d: 0.5 if d % 7 < 5 else 6.0)
    yield grown("seasons", 200, lambda d: 2 + 1.2 * math.sin(2 * math.pi * d / 365))
    yield grown("Christmas", 200, lambda d: 9.5 if 340 <= d % 365 <= 360 else 1.5)
    yield of("steps of a fortnight", lambda d: 200 + 28 * (d // 14))
    yield grown("45 days on, 45 days off", 100, lambda d: 0.3 if d // 45 % 2 else 5.0)
    yield grown("a slope that strays", 150, lambda d: max(0.2, strays[d]), noise=0.3)
    yield grown("uneven days", 200, lambda d: uneven[d])
    yield grown("a few heavy days", 200, lambda d: heavy[d])
    yield of("one import", lambda d: 100 + d + (400 if d >= 100 else 0))
    yield of("one import of five days", lambda d: 100 + d + 80 * min(5, max(0, d - 100)))
    yield of("an import each quarter", lambda d: 100 + 0.5 * d + 60 * (d // 91))
    yield of("an import each month", lambda d: 100 + 0.5 * d + 30 * (d // 30))
    yield of("imports at random", lambda d: 100 + 0.7 * d + 50 * sum(d >= day for day in imports))
    yield of("archived each month", lambda d: 400 + 2 * (d % 30) + 15 * (d // 30))
    yield of("purged each week", lambda d: 300 + 3 * (d % 7) + 10 * (d // 7))
    yield of("purged once", lambda d: 700 + 2 * d - (500 if d >= 130 else 0), relief=130)
    yield of("purged each year", lambda d: 400 + 1.6 * d - 300 * (d // 365), relief=366)
    yield of("rebuilt each month", lambda d: 300 + 2 * d - (40 if d % 28 < 2 else 0))


def _never_full(days: int) -> Iterator[Shape]:
    def of(name: str, size: Callable[[int], float], **how: float) -> Shape:
        return Shape(f"never full: {name}", _by_day(days, size), **how)  # type: ignore[arg-type]

    yield of("constant", lambda d: 500)
    yield of("constant and nearly full", lambda d: 940, noise=1)
    yield of("shrinking", lambda d: 900 - 0.5 * d)
    yield of("0.1 GB a day", lambda d: 300 + 0.1 * d)
    yield of("one import", lambda d: 500 if d >= 100 else 100, noise=0.05)
    yield of("one large import", lambda d: 850 if d >= 120 else 300, noise=0.05)
    yield of("one import of three days", lambda d: 200 + 150 * min(3, max(0, d - 150)))
    yield of("archived as fast as it grows", lambda d: 600 + 2 * (d % 30), noise=0.5)
    yield of("archived, deep", lambda d: 400 + 4 * (d % 30))
    yield of("saturating", lambda d: 900 - 700 * math.exp(-d / 120))
    yield of("purged for good", lambda d: 500 + 2 * d if d < 200 else 400, relief=200)
