"""A step of the archive that is struck, at whatever statement or request, is finished by the next
run: nothing is lost, nothing is there twice, and the end is that of an undisturbed run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.chaos import LIFE, MOMENTS, Chaos, Fault, Step, Strike
from tests.faults.faults import cancel, cut_connections, joined_by, kill, superseded_by
from tests.faults.probe import Moment


@pytest.mark.parametrize("step", LIFE)
def test_killed(chaos: Chaos, step: Step) -> None:
    _all_well(_everywhere(chaos, step, "killed", kill))


@pytest.mark.parametrize("step", LIFE)
def test_cut(chaos: Chaos, step: Step) -> None:
    _all_well(_everywhere(chaos, step, "connections cut", cut_connections))


@pytest.mark.parametrize("step", LIFE)
def test_cancelled(chaos: Chaos, step: Step) -> None:
    _all_well(_everywhere(chaos, step, "cancelled", cancel))


@pytest.mark.parametrize("step", LIFE)
def test_joined(chaos: Chaos, step: Step) -> None:
    _all_well(_everywhere(chaos, step, "joined", joined_by(chaos.zygote, step)))


@pytest.mark.parametrize("step", LIFE)
def test_superseded(chaos: Chaos, step: Step) -> None:
    _all_well(_everywhere(chaos, step, "superseded", superseded_by(chaos.zygote, step)))


def _everywhere(
    chaos: Chaos, step: Step, name: str, fault: Fault
) -> Iterator[Strike]:
    import os
    stride = int(os.environ.get("STRIDE", "1"))
    for number in range(1, len(chaos.points(step)) + 1, stride):
        for moment in MOMENTS:
            strike = chaos.strike(step, number, moment, name, fault)
            if strike is not None:
                print(strike, flush=True)
                yield strike


def _all_well(strikes: Iterator[Strike]) -> None:
    assert not [str(strike) for strike in strikes if strike.problems]
