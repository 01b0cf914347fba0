"""Bytes and durations as people read them: each unit up to the limit where the next is shorter."""

from __future__ import annotations

import math

import pytest

from ft_ops.format import human_bytes, human_dollars, human_duration, one_line


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_900, "99.9 kB"),
        (100_000, "100 kB"),
        (12_340_000, "12.3 MB"),
        (1_000_000_000, "1.0 GB"),
        (999_000_000_000, "999 GB"),
        (1_000_000_000_000, "1.0 TB"),
        (5_000_000_000_000_000, "5000 TB"),
        (-999, "-999 B"),
        (-1000, "-1.0 kB"),
        (-100_000, "-100 kB"),
    ],
)
def test_bytes_have_the_unit_that_keeps_them_below_a_thousand(count: int, words: str) -> None:
    assert human_bytes(count) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "nothing"),
        (0.000_001, "less than one cent"),
        (0.009_9, "less than one cent"),
        (0.01, "$0.01"),
        (1.2, "$1.20"),
        (1234.5, "$1,234.50"),
    ],
)
def test_dollars_are_told_by_the_cent(amount: float, words: str) -> None:
    assert human_dollars(amount) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.31, "0.3 s"),
        (3, "3 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (11.5, "12 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7140, "119 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (12_600, "3.5 h"),
        (172_640, "48.0 h"),
        (2 * 86_400 - 1, "48.0 h"),
        (2 * 86_400, "2 days"),
        (12.9 * 86_400, "12 days"),
    ],
)
def test_a_duration_goes_over_to_the_next_unit_at_two_of_it(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


def test_what_never_ends_is_unknown() -> None:
    assert human_duration(math.inf) == "unknown"


def test_a_text_becomes_one_line_of_what_can_be_seen() -> None:
    assert (
        one_line(" a lawsuit\nof the\t M\u00fcllers\x1b[2K ") == "a lawsuit of the M\u00fcllers [2K"
    )
    assert one_line("a\x00b") == "a b"
    assert one_line("\n") == ""
