"""A run that dies, is cancelled, loses its connections or meets another run does no harm.

Nothing is lost and nothing is there twice, at once or later; the next run finishes the step, and
the end is that of an undisturbed life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.faults.chaos import LIFE, Chaos, Fault, Point, Step, Strike, path
from tests.faults.faults import cancel, cut_connections, joined_by, kill, kill_server, superseded_by
from tests.faults.probe import Moment
from tests.faults.runs import Ended, Paused, Zygote
from tests.faults.spread import Spread

Survived = Callable[[Iterator[Strike]], None]


@pytest.mark.parametrize("step", ["archive", "purge"])
def test_a_step_that_is_killed_is_finished_by_the_next_run(
    chaos: Chaos, survived: Survived, step: Step
) -> None:
    moments = chaos.moments(step)
    third = len(moments) // 3
    survived(_strikes(chaos, step, [moments[third], moments[-third]], "killed", kill))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("step", LIFE)
def test_it_is_killed(chaos: Chaos, survived: Survived, spread: Spread, step: Step) -> None:
    moments = spread.among(chaos.moments(step), 40)
    survived(_strikes(chaos, step, moments, "killed", kill))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("step", LIFE)
def test_killed_again_and_again_each_time_a_little_later(
    chaos: Chaos, survived: Survived, step: Step
) -> None:
    survived(iter([_killed_again_and_again(chaos, step)]))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("connections cut", cut_connections),
        ("cancelled", cancel),
        ("server killed", kill_server),
    ],
    ids=["connections cut", "cancelled", "server killed"],
)
@pytest.mark.parametrize("step", LIFE)
def test_it_is_interrupted(
    chaos: Chaos, survived: Survived, spread: Spread, step: Step, name: str, fault: Fault
) -> None:
    moments = spread.among(chaos.moments(step), 20)
    survived(_strikes(chaos, step, moments, name, fault))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("name", "fault_with"),
    [("a second run", joined_by), ("lock lost to a second run", superseded_by)],
    ids=["joined", "superseded"],
)
@pytest.mark.parametrize("step", LIFE)
def test_it_meets_a_second_run(
    chaos: Chaos,
    survived: Survived,
    spread: Spread,
    step: Step,
    name: str,
    fault_with: Callable[[Zygote, Step], Fault],
) -> None:
    """Which waits for the lock, or finds it lost and does the work before the first goes on."""
    moments = spread.among(chaos.moments(step), 10)
    survived(_strikes(chaos, step, moments, name, fault_with(chaos.zygote, step)))


def _strikes(
    chaos: Chaos, step: Step, moments: Iterable[tuple[int, Moment]], name: str, fault: Fault
) -> Iterator[Strike]:
    for number, moment in moments:
        strike = chaos.strike(step, number, moment, name, fault)
        if strike is not None:
            yield strike


def _killed_again_and_again(chaos: Chaos, step: Step) -> Strike:
    with chaos.world_before(step) as world:
        number = 0
        while True:
            number += 1
            run = chaos.zygote.start(path(step), world.arguments, pause_at=(number, "in flight"))
            try:
                event = run.event()
                if isinstance(event, Paused):
                    run.kill()
                    chaos.wait_for_backends(world)
                    continue
                assert isinstance(event, Ended)
                return chaos.judge(
                    world, Point(step, number, "at each point in turn", "killed"), event
                )
            finally:
                run.close()
