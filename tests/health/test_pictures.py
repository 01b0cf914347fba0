"""Pictures are readable on a light and on a dark page."""

from __future__ import annotations

import base64
import io
from datetime import UTC, date, datetime, timedelta

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ft_ops.health.capacity.disk import Outlook
from ft_ops.health.capacity.forecast import Forecast
from ft_ops.health.capacity.pictures import (
    BLUE,
    GREY,
    RED,
    capacity_picture,
    growth_picture,
    sparkline,
)
from ft_ops.health.capacity.sizes import MonthGrowth
from ft_ops.months import Month
from ft_ops.standing import Point

LIGHT, DARK = "#ffffff", "#030615"
"""The backgrounds of the Dagster UI's dialogs in its two themes."""
START = datetime(2026, 1, 1, tzinfo=UTC)


def pixels(url: str) -> np.ndarray:
    """Height x width x RGBA, each from 0 to 1."""
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    image: np.ndarray = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")
    return image


def contrast(one: str, other: str) -> float:
    """The ratio of luminances by WCAG 2.1, from 1 to 21."""

    def luminance(colour: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [GREY, BLUE, RED])
@pytest.mark.parametrize("background", [LIGHT, DARK])
def test_words_and_lines_stand_out_on_both_backgrounds(colour: str, background: str) -> None:
    """3 : 1 is what WCAG asks of graphics (1.4.11) and of words beside them."""
    assert contrast(colour, background) >= 3


@pytest.mark.parametrize(
    "url",
    [
        capacity_picture(
            Outlook(
                tuple(Point(START + timedelta(days=d), 1e9 + d) for d in range(30)),
                Forecast(date(2026, 1, 31), (1e9,) * 730, (9e8,) * 730, (2e9,) * 730, 0.0),
            ),
            1.5e9,
        ),
        capacity_picture(Outlook((Point(START, 1.0),), None), None),
        # Spans for which matplotlib has found no interval, and warned.
        *(
            capacity_picture(
                Outlook((Point(START, 1.0), Point(START + timedelta(seconds=s), 2.0)), None), None
            )
            for s in (235, 14_554)
        ),
        growth_picture([MonthGrowth(Month(2025, 1), 140_000, 1, 1, None)], 150_000),
        sparkline([Point(START, 1.0), Point(START + timedelta(days=1), 3.0)]),
    ],
)
def test_the_background_is_the_page_s(url: str) -> None:
    image = pixels(url)
    transparent = image[..., 3] == 0
    assert transparent[0, 0]
    assert transparent[-1, -1]
    assert transparent.mean() > 0.5
    assert not transparent.all()


def test_a_sparkline_marks_what_is_beyond_its_limit() -> None:
    points = [Point(START + timedelta(days=d), value) for d, value in enumerate((1.0, 1.0, 9.0))]
    assert not _has(sparkline(points), RED)
    assert not _has(sparkline(points, limit=10), RED)
    assert _has(sparkline(points, limit=5), RED)


def test_one_point_is_visible() -> None:
    assert _has(sparkline([Point(START, 5.0)]), BLUE)


def _has(url: str | None, colour: str) -> bool:
    assert url is not None
    image = pixels(url)
    near = np.abs(image[..., :3] - np.array(to_rgb(colour))).max(axis=-1) < 0.02
    return bool((near & (image[..., 3] > 0.9)).any())
