"""The plots of docs/performance.md, as SVG whose bytes depend on the results alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.frame.results import Curve, Result

_WIDE_RANGE = 8
"""A range of sizes wider than this is drawn on logarithmic axes, where proportional is straight."""


def plot_goals(results: Sequence[Result], path: Path) -> None:
    """A bar a goal: the share of what it allows that is used. Left of the line it is met."""
    shown = [result for result in results if result.goal]
    with _figure(path, height=0.6 + 0.34 * len(shown)) as axes:
        shares = [_share(result) for result in shown]
        colours = ["tab:blue" if result.met else "tab:red" for result in shown]
        axes.barh([_label(result) for result in shown], shares, color=colours)
        axes.axvline(1, color="black", linewidth=1)
        axes.invert_yaxis()
        axes.set_xlabel("share of the goal that is used (1 = just met)")


def plot_curves(curves: Sequence[Curve], title: str, path: Path) -> None:
    """Lines over common axes."""
    with _figure(path, height=3.4) as axes:
        for curve in curves:
            axes.plot(curve.x, curve.y, marker="o", markersize=3, label=curve.label)
        xs = [x for curve in curves for x in curve.x]
        if min(xs) > 0 and max(xs) / min(xs) >= _WIDE_RANGE:
            axes.set_xscale("log")
            if all(y > 0 for curve in curves for y in curve.y):
                axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(curves[0].x_label)
        axes.set_ylabel(curves[0].y_label)
        axes.set_title(title, fontsize=10)
        axes.legend(fontsize=8)
        axes.grid(visible=True, alpha=0.3)


@contextmanager
def _figure(path: Path, *, height: float) -> Iterator[Axes]:
    # The salt and the missing date make equal results equal files.
    with mpl.rc_context({"svg.hashsalt": "familytales", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.5, height), layout="constrained")
        yield figure.add_subplot()
        figure.savefig(path, format="svg", metadata={"Date": None})


def _share(result: Result) -> float:
    assert result.goal
    return (result.ours if result.ratio is None else result.ratio) / result.goal


def _label(result: Result) -> str:
    return f"{result.work}, against {result.against}" if result.against else result.work
