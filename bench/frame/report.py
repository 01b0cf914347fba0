"""docs/performance.md and its plots, written from the results and from nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from bench.frame.plots import plot_curves, plot_goals
from bench.frame.results import BENCH, Curve, Kept, Result

DOCS: Final = BENCH.parent / "docs"
REPORT: Final = DOCS / "performance.md"
PLOTS: Final = DOCS / "performance"

_HEAD = """\
# Performance

Written by `make bench` from bench/results.json; don't edit it. `make bench BENCH=name` measures
one part anew, `BENCH_QUICK=1` tries everything on little data without touching this page.

Ours and the reference take turns on the same data, in the same run, on the same machine, which also
runs PostgreSQL and S3. So compare ratios, not seconds. Numbers are medians; *spread* is (largest -
smallest) / median over the repetitions. The sandbox's PostgreSQL runs with fsync off, for both
sides. Its S3 is a local server in Python: it computes more slowly than S3 itself, but there is no
network in between.
"""

_COLUMNS = ("work", "against", "ours", "reference", "ratio", "goal", "met", "n", "spread")


def write_report(kept: Mapping[str, Kept], report: Path = REPORT, plots: Path = PLOTS) -> Path:
    """Write the page and its plots; plots of results that are no more are removed."""
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    report.write_text("\n".join(_page(kept, plots)), encoding="utf-8")
    return report


def summary(kept: Mapping[str, Kept]) -> Iterator[str]:
    """The results for a terminal: a line each, aligned."""
    rows = [_COLUMNS, *(_row(k.result) for k in kept.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        yield "  ".join(
            cell.strip("*").ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()


def _page(kept: Mapping[str, Kept], plots: Path) -> Iterator[str]:
    results = [k.result for k in kept.values()]
    missed = [r for r in results if r.met is False]
    yield _HEAD
    yield f"{sum(r.met is True for r in results)} goals are met, {len(missed)} are missed.\n"
    yield from _table(_COLUMNS, [_row(result) for result in results])
    if any(result.goal for result in results):
        plot_goals(results, plots / "goals.svg")
        yield "![How much of each goal is used](performance/goals.svg)\n"
    if missed:
        yield "## Missed goals\n"
        yield "\n".join(_missed(k) for k in kept.values() if k.result.met is False) + "\n"
    by_benchmark = sorted(kept.values(), key=lambda k: k.benchmark)
    for benchmark, group in groupby(by_benchmark, key=lambda k: k.benchmark):
        yield from _section(benchmark, list(group), plots)


def _missed(kept: Kept) -> str:
    """By how much, and why; the profile stands in the benchmark's section."""
    result = kept.result
    assert result.goal is not None
    value = _quantity(result.ours, result.unit) if result.ratio is None else _ratio(result)
    reached = result.ours if result.ratio is None else result.ratio
    excess = f", {reached / result.goal - 1:.0%} more than that" if result.goal else ""
    against = f", against {result.against}" if result.against else ""
    reason = f". {result.reason}" if result.reason else ""
    where = f" ([the profile](#{kept.benchmark}))" if result.profile else ""
    return f"- {result.work}{against}: {value}, goal {_goal(result)}{excess}{reason}{where}."


def _section(benchmark: str, kept: Sequence[Kept], plots: Path) -> Iterator[str]:
    yield f"## {benchmark}\n"
    if text := _docstring(benchmark):
        yield f"{text}\n"
    for machine, measured_at in sorted({(k.machine, k.measured_at) for k in kept}):
        yield f"Measured {measured_at:%Y-%m-%d %H:%M} UTC on {machine}.\n"
    for size, group in groupby(kept, key=lambda k: k.result.size):
        lines = [f"- {_sentence(k.result)}" for k in group]
        yield f"With {size}:\n"
        yield "\n".join(lines) + "\n"
    yield from _profiles([k.result for k in kept])
    for result in (k.result for k in kept):
        for number, curves in enumerate(_by_axes(result.curves)):
            file = f"{result.name}-{number}.svg" if number else f"{result.name}.svg"
            plot_curves(curves, result.work, plots / file)
            yield f"![{result.work}: {curves[0].y_label}](performance/{file})\n"


def _profiles(results: Sequence[Result]) -> Iterator[str]:
    """A table a profile; results that share one, being of the same work, share the table."""
    shown: list[tuple[str, Mapping[str, float]]] = []
    for result in results:
        if not result.profile or (result.work, result.profile) in shown:
            continue
        shown.append((result.work, result.profile))
        total = sum(result.profile.values())
        yield f"Where the time of *{result.work}* goes, once, {total:.3g} s:\n"
        yield from _table(
            ("part", "seconds", "share"),
            [(part, f"{s:.3g}", f"{s / total:.0%}") for part, s in result.profile.items()],
        )


def _by_axes(curves: Sequence[Curve]) -> list[list[Curve]]:
    ordered = sorted(curves, key=lambda c: (c.x_label, c.y_label))
    return [list(group) for _, group in groupby(ordered, key=lambda c: (c.x_label, c.y_label))]


def _sentence(result: Result) -> str:
    against = f" against {result.against}" if result.against else ""
    verdict = {True: "the goal is met", False: "**the goal is missed**", None: "no goal"}
    goal = f", goal {_goal(result)}: {verdict[result.met]}" if result.goal is not None else ""
    value = _quantity(result.ours, result.unit)
    ratio = f", {_ratio(result)}" if result.ratio is not None else ""
    note = f". {result.note}" if result.note else ""
    return f"{result.work}{against}: {value}{ratio}{goal}{note}"


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.work,
        result.against,
        _quantity(result.ours, result.unit),
        "" if result.reference is None else _quantity(result.reference, result.unit),
        _ratio(result),
        _goal(result),
        {True: "yes", False: "**no**", None: ""}[result.met],
        str(result.n),
        f"{result.spread:.0%}",
    )


def _ratio(result: Result) -> str:
    if result.ratio is None:
        return ""
    if _is_about_speed(result) and 0 < result.ratio < 1:
        return f"{1 / result.ratio:.3g} × faster"
    return f"{result.ratio:.3g} ×"


def _goal(result: Result) -> str:
    if result.goal is None:
        return ""
    if result.ratio is None:
        return f"≤ {_quantity(result.goal, result.unit)}"
    if _is_about_speed(result) and 0 < result.goal < 1:
        return f"≥ {1 / result.goal:.3g} × faster"
    return f"≤ {result.goal:.3g} ×"


def _is_about_speed(result: Result) -> bool:
    return result.unit in {"s", "ms"}


def _quantity(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{number} {unit}".strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _docstring(benchmark: str) -> str:
    path = BENCH / f"{benchmark}.py"
    if not path.exists():
        return ""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
