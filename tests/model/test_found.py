"""Lives that once went wrong, each as short as it could be made."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import pytest

from tests.fixtures.postgres import Database
from tests.model.conftest import MONTHS
from tests.model.ending import end
from tests.model.life import Step, life


def _leaves(month: int) -> list[Step]:
    steps: list[Step] = [("ops", name, month, 0) for name in ("move", "archive", "purge")]
    steps.insert(2, ("backup",))
    return steps


def _comes_back(month: int) -> list[Step]:
    thaw: Step = ("ops", "thaw", month, 0)
    return [thaw, ("time", 2), thaw]


FOUND: Final[dict[str, Sequence[Step]]] = {
    # The link left with the one month before the other was exported, so that only one archive has
    # it; a refreeze of the other took it along.
    "a link between two months that come and go": [
        *_leaves(2),
        *_leaves(0),
        *_comes_back(2),
        *_comes_back(0),
        ("ops", "refreeze", 0, 0),
        *_comes_back(0),
    ],
    # The application counted on from what it could see; the archived segment found its place taken.
    "a number and an id of a segment that is in the archive alone": [
        *_leaves(2),
        *[("app", "insert_naively", 0, thread, 1) for thread in range(5)],
        *[("app", "reuse_segment", segment, segment, 1) for segment in range(10, 15)],
        *_comes_back(2),
    ],
    # The older archive had it where it was before, and brought it back there.
    "a link that was moved between two thaws": [
        *_leaves(0),
        *_comes_back(0),
        # It led from the third month to the first one; now to the second, with which it leaves.
        ("app", "relink", 3, 0, 0),
        ("ops", "refreeze", 0, 0),
        *_leaves(1),
        *_comes_back(0),
    ],
    "a check with a percent sign in it": [
        ("schema", "check of new rows"),
        *_leaves(1),
        *_comes_back(1),
    ],
    "a book at the other end of a held link": [
        ("hold", "family", 0),
        *[("app", "move_book", book, family, 3) for book in range(4) for family in range(3)],
        *[("app", "move_thread", thread, book, 3) for thread in range(5) for book in range(4)],
    ],
    # The hold on the one end's thread did not know the other end, in another archive.
    "the other end of a held link that archives alone have": [
        *_leaves(0),
        *_leaves(1),
        ("hold", "thread", 2),
        ("app", "delete_book", 622, 0, 0),
    ],
    "a held row of a table that a later migration brought": [
        ("schema", "child table"),
        *[("app", "react", segment, 0, 1) for segment in range(0, 15, 3)],
        ("hold", "month", 0),
        *[("app", "delete_child", child, 0, 0) for child in range(0, 20, 2)],
    ],
}


_LONG: Final = frozenset({"a link that was moved between two thaws"})
"""What a test of the archive holds by itself, too."""


@pytest.mark.parametrize(
    "found",
    [pytest.param(f, marks=[pytest.mark.chaos] if f in _LONG else []) for f in FOUND],
)
def test_what_once_went_wrong_ends_well(found: str, small: Database, aws: str) -> None:
    with life(small, months=MONTHS) as begun:
        for step in FOUND[found]:
            outcome = begun.do(step)
            assert step[0] == "app" or outcome in {"done", "asked Glacier"}, (step, outcome)
        end(begun, random.Random(0), full=False)
