"""Pictures as data: URLs for Markdown, readable on a light and on a dark page alike.

The background is transparent, axes and words are mid-grey, and the colours have some 4:1 contrast
against white and against near-black.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ft_ops.format import human_bytes
from ft_ops.health.capacity.disk import Outlook
from ft_ops.health.capacity.sizes import MonthGrowth
from ft_ops.standing import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#808080"
BLUE = "#3d8bfd"
RED = "#e5484d"
_DOTS_PER_INCH = 110
_SHOWN_DAYS = 365
_MOST_DRAWN = 1e100


def capacity_picture(outlook: Outlook, limit_bytes: float | None) -> str:
    """What is used of a volume so far, its forecast with the 90 % band, and its size."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = _figure(height=2.8)
    times = _numbers(point.sampled_at for point in outlook.history)
    axes.plot(times, [p.value for p in outlook.history], color=BLUE, linewidth=2, label="measured")
    ahead = outlook.forecast
    if ahead is not None:
        days = _numbers(ahead.day(i) for i in range(_SHOWN_DAYS))
        axes.plot(days, ahead.expected[:_SHOWN_DAYS], color=BLUE, linestyle="--", label="forecast")
        axes.fill_between(
            days,
            ahead.lower[:_SHOWN_DAYS],
            ahead.upper[:_SHOWN_DAYS],
            color=BLUE,
            alpha=0.25,
            linewidth=0,
            label="90 % of cases",
        )
    if limit_bytes is not None:
        axes.axhline(limit_bytes, color=RED, linewidth=1.5, label="the volume")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: human_bytes(value)))
    _dates(axes)
    _legend(axes)
    return _data_url(figure)


def growth_picture(growth: Sequence[MonthGrowth], projected: int) -> str:
    """Segments by month as bars, against the projection."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = _figure(height=2.2)
    names = [str(entry.month) for entry in growth]
    axes.bar(
        names, [entry.segments or 0 for entry in growth], color=BLUE, width=0.7, label="segments"
    )
    axes.axhline(projected, color=GREY, linestyle="--", linewidth=1.2, label="projected")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(axis="x", labelrotation=45)
    _legend(axes)
    return _data_url(figure)


def sparkline(points: Sequence[Point], limit: float | None = None) -> str | None:
    """A line without axes for a table's cell; what lies above ``limit`` is red.

    None where a figure is no number, or so large that no axis takes it.
    """
    from matplotlib.figure import Figure

    if not all(abs(point.value) < _MOST_DRAWN for point in points):
        return None
    figure = Figure(figsize=(1.6, 0.3), dpi=_DOTS_PER_INCH)
    axes = figure.add_axes((0.02, 0.08, 0.96, 0.84))
    axes.set_axis_off()
    values = [point.value for point in points]
    times = _numbers(point.sampled_at for point in points)
    axes.plot(times, values, color=BLUE, linewidth=1.5)
    if limit is not None:
        over = [(t, v) for t, v in zip(times, values, strict=True) if v >= limit]
        if over:
            axes.plot(*zip(*over, strict=True), color=RED, linestyle="", marker="o", markersize=3)
    if len(points) == 1:
        axes.plot(times, values, color=BLUE, marker="o", markersize=3)
    low, high = min(values), max(values)
    # A flat line belongs in the middle, and noise of a percent is no mountain.
    margin = max((high - low) * 0.1, abs(high) * 0.05, 1e-9)
    axes.set_ylim(low - margin, high + margin)
    return _data_url(figure)


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.tick_params(colors=GREY, labelsize=8)
    axes.grid(visible=True, axis="y", color=GREY, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(GREY)
    return figure, axes


def _numbers(times: Iterable[datetime]) -> list[float]:
    """Days since 1970, which is what matplotlib's axes of dates count."""
    from matplotlib.dates import date2num

    return [float(number) for number in date2num(list(times))]


def _dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    # With five at least, as by default, no interval fits some spans, such as four hours.
    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis_date()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_color(GREY)


def _legend(axes: Axes) -> None:
    """Above the data, where it can hide nothing."""
    axes.legend(
        fontsize=8,
        frameon=False,
        labelcolor=GREY,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
        ncols=4,
    )


def _data_url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
