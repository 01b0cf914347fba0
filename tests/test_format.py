"""Sizes and durations as people read them."""

from __future__ import annotations

import math

import pytest

from ft_ops.format import human_bytes, human_duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.31, "0.3 s"),
        (2.0, "2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (86400 * 2, "2 days"),
        (math.inf, "unknown"),
    ],
)
def test_a_duration(seconds: float, said: str) -> None:
    assert human_duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_940, "99.9 kB"),
        (123_456_789, "123 MB"),
        (5e15, "5000 TB"),
    ],
)
def test_a_size(count: float, said: str) -> None:
    assert human_bytes(count) == said
