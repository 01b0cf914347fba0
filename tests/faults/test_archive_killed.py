"""A step of the archive that is killed, at whatever statement or request, is finished by the next
run: nothing is lost, nothing is there twice, and the end is that of an undisturbed run."""

from __future__ import annotations

import pytest

from tests.faults.chaos import LIFE, MOMENTS, Chaos, Fault, Step, Strike, kill


@pytest.mark.parametrize("step", LIFE)
def test_a_killed_step_is_finished_by_the_next_run(chaos: Chaos, step: Step) -> None:
    strikes = _all_points(chaos, step, "SIGKILL", kill, stride=1)
    assert not [str(strike) for strike in strikes if strike.problems]


def _all_points(
    chaos: Chaos, step: Step, name: str, fault: Fault, *, stride: int
) -> list[Strike]:
    strikes = []
    for number in range(1, len(chaos.points(step)) + 1, stride):
        for moment in MOMENTS:
            strike = chaos.strike(step, number, moment, name, fault)
            if strike is not None:
                strikes.append(strike)
                print(strike, flush=True)
    return strikes
