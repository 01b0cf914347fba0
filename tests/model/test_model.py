"""Whatever happens, in whatever order: no row is lost, doubled, revived, or shown to a stranger."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.report import add_lives
from tests.fixtures.postgres import Database
from tests.model.conftest import MONTHS
from tests.model.machine import COUNTED, Lives

pytestmark = pytest.mark.filterwarnings(
    # Whoever plays dead closes no connection.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

_SEED: Final = 7
"""Of the lives that every run of the tests lives through: always the same ones."""

_STEPS_A_LIFE: Final = 25
_LIVES_AT_ONCE: Final = 3
_PARTS: Final = 2
_SEEDS_OF_A_PART: Final = 1_000_000


@pytest.mark.timeout(1200)
def test_some_lives_end_well(small: Database, aws: str) -> None:
    _live(small, number=_SEED, lives=2, copied=False)


@pytest.mark.chaos
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(_PARTS))
def test_many_lives_end_well(part: int, small: Database, aws: str) -> None:
    """FT_MODEL_STEPS in all, from FT_MODEL_SEED on, which is another one each time.

    In parts, for as many processes of the tests; each has seeds of its own.
    """
    first = _SEEDS_OF_A_PART * part + int(
        os.environ.get("FT_MODEL_SEED", time.time_ns() % _SEEDS_OF_A_PART)
    )
    wanted = int(os.environ.get("FT_MODEL_STEPS", "10000")) / _PARTS
    COUNTED.clear()
    number = first
    while COUNTED.total() < wanted:
        sys.stderr.write(f"seed {number}: {COUNTED.total():,} steps so far\n")
        _live(small, number=number, lives=_LIVES_AT_ONCE, copied=number % 2 == 0)
        add_lives({"seeds": [first, number], "outcomes": dict(COUNTED)})
        number += 1


def _live(template: Database, *, number: int, lives: int, copied: bool) -> None:
    class Here(Lives):
        pass

    Here.template = template
    Here.months = MONTHS
    Here.copied = copied
    run_state_machine_as_test(
        seed(number)(Here),
        settings=settings(
            max_examples=lives,
            stateful_step_count=_STEPS_A_LIFE,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
