"""What a benchmark found, and the file in which it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from bench.frame.measure import Samples, slope

BENCH: Final = Path(__file__).resolve().parent.parent
FULL_RESULTS: Final = BENCH / "results.json"
QUICK_RESULTS: Final = BENCH / "results-quick.json"
"""A quick run says whether the benchmarks work; its numbers never replace those of a full one."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot: what was measured (``y``) at each size or moment (``x``)."""

    label: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One comparison, and the goal that it has to reach.

    ``ours`` and ``reference`` are medians in ``unit``. The goal is the most that the ratio
    ours / reference may be; where there is no reference, the most that ``ours`` may be; None
    where there is none. "Ten times faster" is a goal of 0.1. ``spread`` is (largest - smallest) /
    median over the ``n`` repetitions of whatever the goal is about.
    """

    name: str
    work: str
    against: str
    unit: str
    ours: float
    goal: float | None
    n: int
    spread: float
    size: str
    reference: float | None = None
    curves: tuple[Curve, ...] = ()
    profile: Mapping[str, float] = field(default_factory=dict)
    """Where our time goes: seconds by part of the work, of one more repetition."""
    note: str = ""
    reason: str = ""
    """Why the goal is missed, where it is: what there is to know before any number."""

    @classmethod
    def comparing(
        cls,
        ours: Samples,
        reference: Samples,
        *,
        name: str,
        work: str,
        against: str,
        goal: float | None,
        size: str,
        unit: str = "s",
    ) -> Result:
        """A result of two alternating measurements; its spread is that of their paired ratios."""
        return cls(
            name=name,
            work=work,
            against=against,
            unit=unit,
            ours=ours.median,
            reference=reference.median,
            goal=goal,
            n=ours.n,
            spread=ours.over(reference).spread,
            size=size,
        )

    @classmethod
    def growing(
        cls, took: Mapping[int, float], *, name: str, work: str, unit: str, goal: float
    ) -> Result:
        """How the seconds that ``work`` takes grow with its size, which is counted in ``unit``."""
        sizes, costs = tuple(map(float, took)), tuple(took.values())
        return cls(
            name=name,
            work=f"{work}: growth of time with {unit}, as an exponent",
            against="",
            unit="",
            ours=slope(sizes, costs),
            goal=goal,
            n=1,
            spread=0.0,
            size=f"{min(took):,} to {max(took):,} {unit}",
            curves=(Curve(work, unit, "seconds", sizes, costs),),
            note=", ".join(f"{n:,}: {s:.2f} s" for n, s in took.items()),
        )

    @property
    def ratio(self) -> float | None:
        return None if self.reference is None else self.ours / self.reference

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return (self.ours if self.ratio is None else self.ratio) <= self.goal


@dataclass(frozen=True, slots=True)
class Kept:
    """A result in the file: with the benchmark that gave it, and when and where it ran."""

    benchmark: str
    measured_at: datetime
    machine: str
    result: Result


_RESULT = TypeAdapter(Result)


def read_results(path: Path) -> dict[str, Kept]:
    """What the file holds, by name; nothing when there is no file."""
    if not path.exists():
        return {}
    return {
        name: Kept(
            benchmark=entry["benchmark"],
            measured_at=datetime.fromisoformat(entry["measured_at"]),
            machine=entry["machine"],
            result=_RESULT.validate_python({"name": name} | entry, extra="ignore"),
        )
        for name, entry in json.loads(path.read_text(encoding="utf-8")).items()
    }


def keep_results(path: Path, benchmark: str, results: Iterable[Result], machine: str) -> None:
    """Put the results of one benchmark into the file, in place of its former ones.

    Those of benchmarks that are no more go. A ValueError when two results have one name, or another
    benchmark's: one would stand in the other's place.
    """
    kept = {
        name: k
        for name, k in read_results(path).items()
        if k.benchmark != benchmark and (BENCH / f"{k.benchmark}.py").exists()
    }
    moment = datetime.now(UTC).replace(microsecond=0)
    for result in results:
        if result.name in kept:
            raise ValueError(f"{benchmark}: there is a result {result.name} already")
        kept[result.name] = Kept(benchmark, moment, machine, result)
    document = {name: _entry(kept[name]) for name in sorted(kept)}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _entry(kept: Kept) -> dict[str, object]:
    result = kept.result
    entry: dict[str, object] = _RESULT.dump_python(result, mode="json")
    del entry["name"]
    return {
        **entry,
        "ratio": result.ratio,
        "met": result.met,
        "benchmark": kept.benchmark,
        "measured_at": kept.measured_at.isoformat(),
        "machine": kept.machine,
    }
