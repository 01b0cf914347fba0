"""A run that dies, is cancelled, loses its connections or meets another run does no harm.

Nothing is lost and nothing is there twice, at once or later; the next run finishes the step, and
the end is that of an undisturbed life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults.chaos import LIFE, Chaos, Fault, Point, Step, Strike, path
from tests.faults.faults import cancel, cut_connections, joined_by, kill, superseded_by
from tests.faults.runs import Ended, Paused

Survived = Callable[[Iterator[Strike]], None]


@pytest.mark.parametrize("step", ["archive", "purge"])
def test_a_step_that_is_killed_is_finished_by_the_next_run(
    chaos: Chaos, survived: Survived, step: Step
) -> None:
    survived(_strikes(chaos, step, "killed", kill, most=2))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", LIFE)
def test_killed_at_every_point(chaos: Chaos, survived: Survived, step: Step) -> None:
    survived(_strikes(chaos, step, "killed", kill))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", LIFE)
def test_killed_again_and_again_each_time_a_little_later(
    chaos: Chaos, survived: Survived, step: Step
) -> None:
    survived(iter([_killed_again_and_again(chaos, step)]))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", LIFE)
def test_its_connections_are_cut(chaos: Chaos, survived: Survived, step: Step) -> None:
    survived(_strikes(chaos, step, "connections cut", cut_connections, most=20))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", LIFE)
def test_it_is_cancelled(chaos: Chaos, survived: Survived, step: Step) -> None:
    survived(_strikes(chaos, step, "cancelled", cancel, most=20))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", LIFE)
def test_a_second_run_begins_beside_it(chaos: Chaos, survived: Survived, step: Step) -> None:
    survived(_strikes(chaos, step, "a second run", joined_by(chaos.zygote, step), most=10))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", LIFE)
def test_it_loses_its_lock_and_goes_on_after_a_second_run_has_done_the_work(
    chaos: Chaos, survived: Survived, step: Step
) -> None:
    fault = superseded_by(chaos.zygote, step)
    survived(_strikes(chaos, step, "lock lost to a second run", fault))


def _strikes(
    chaos: Chaos, step: Step, name: str, fault: Fault, *, most: int = 1_000_000
) -> Iterator[Strike]:
    """Strike each moment of each point, or ``most`` of them, evenly spread."""
    moments = chaos.moments(step)
    # Odd, so that both moments of points get their turn.
    stride = max(1, len(moments) // most) | 1
    for number, moment in moments[stride // 2 :: stride]:
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
