"""Strikes a step at one point with one fault, runs it again, and says what is wrong afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tests.faults.probe import Moment
from tests.faults.runs import Died, Ended, Paused, Run, Zygote
from tests.faults.world import Rows, State, World, new_world
from tests.fixtures.postgres import Database

Step: TypeAlias = Literal["move", "archive", "purge"]

LIFE: Final[tuple[Step, ...]] = ("move", "archive", "purge")
"""A month's way, step by step."""

MOMENTS: Final[tuple[Moment, ...]] = ("before", "in flight")

_AGAIN: Final = 3
"""Runs that a step may need after a fault; a schedule gives it one a day, for ever."""

_SECONDS: Final = 30
"""The longest wait for a dead run's server process: it looks for its client every 5 s."""

Fault: TypeAlias = Callable[[Run, World], Iterable[str]]
"""What is done to a run that stands at its point; afterwards it is dead or goes on. Returns what
was wrong meanwhile."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one point of a step, and what came of it."""

    step: Step
    point: str
    fault: str
    first_end: str
    runs: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        result = "; ".join(self.problems) or "well"
        return f"{self.step}: {self.fault} {self.point}: {self.first_end}, {result}"


@dataclass(frozen=True, slots=True)
class Chaos:
    """Where faults are injected: a zygote, and the template of every world."""

    zygote: Zygote
    template: Database
    original: Rows
    _undisturbed: dict[Step, tuple[State, tuple[str, ...]]] = field(default_factory=dict)

    def points(self, step: Step) -> tuple[str, ...]:
        """The labels of a step's points when nothing disturbs it, in order."""
        return self._baseline(step)[1]

    def strike(
        self, step: Step, number: int, moment: Moment, name: str, fault: Fault
    ) -> Strike | None:
        """Do something to a run at one point; None when the step ended before it got there."""
        with self.world_before(step) as world:
            run = self.zygote.start(path(step), world.arguments, pause_at=(number, moment))
            try:
                paused = run.event()
                if not isinstance(paused, Paused):
                    assert isinstance(paused, Ended), f"{step} died by itself"
                    assert paused.succeeded, paused.trace or paused.error
                    return None
                problems = list(fault(run, world))
                end = run.event()
            finally:
                run.close()
            return self.judge(world, step, f"{moment} {number} {paused.label}", name, end, problems)

    def judge(
        self,
        world: World,
        step: Step,
        point: str,
        name: str,
        end: Ended | Died | Paused,
        problems: Iterable[str] = (),
    ) -> Strike:
        """Run a disturbed step again until it succeeds, and compare the world with what it
        should be."""
        found = [*problems, *_problems_at_once(world, end)]
        runs = 0
        if not (isinstance(end, Ended) and end.succeeded):
            wait_until(lambda: not world.backends())
            runs = self._run_again(world, step, found)
        found += _problems(world, self._baseline(step)[0])
        return Strike(step, point, name, _in_words(end), runs, tuple(found))

    @contextmanager
    def world_before(self, step: Step) -> Iterator[World]:
        """A new world that has lived, undisturbed, until a step is due."""
        with new_world(self.template, self.original) as world:
            for earlier in LIFE[: LIFE.index(step)]:
                self._finish(world, earlier)
            world.rely_on_a_backup()
            yield world

    def _run_again(self, world: World, step: Step, problems: list[str]) -> int:
        for attempt in range(1, _AGAIN + 1):
            end = self.zygote.finish(path(step), world.arguments)
            if end.succeeded:
                return attempt
            problems += unclear(end)
        problems.append(f"still failing after {_AGAIN} runs: {end.error}")
        return _AGAIN

    def _baseline(self, step: Step) -> tuple[State, tuple[str, ...]]:
        if step not in self._undisturbed:
            with self.world_before(step) as world:
                end = self._finish(world, step)
                self._undisturbed[step] = world.state(), end.points
        return self._undisturbed[step]

    def _finish(self, world: World, step: Step) -> Ended:
        end = self.zygote.finish(path(step), world.arguments)
        assert end.succeeded, f"{step}: {end.trace or end.error}"
        return end


def path(step: Step) -> str:
    """The step's function, for a zygote."""
    return f"{__package__}.steps:{step}"


def unclear(end: Ended) -> list[str]:
    """What is wrong with the way a run told of its failure: it has to be an OpsError."""
    if end.is_clear or end.kind == "Cancelled":
        return []
    return [f"no clear message: {end.kind}: {end.error}"]


def wait_until(condition: Callable[[], bool], seconds: float = _SECONDS) -> None:
    """Look every 20 ms; fail when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.02)


def _problems_at_once(world: World, end: Paused | Ended | Died) -> Iterator[str]:
    if lost := world.lost():
        yield f"{len(lost)} rows lost right after it, such as {lost[0][:200]}"
    if isinstance(end, Ended):
        yield from unclear(end)


def _problems(world: World, expected: State) -> Iterator[str]:
    yield from expected.differences(world.state())
    if lost := world.lost():
        yield f"{len(lost)} rows lost, such as {lost[0][:200]}"
    if duplicated := world.duplicated():
        yield f"{len(duplicated)} segments twice, such as {duplicated[0]}"


def _in_words(end: Paused | Ended | Died) -> str:
    if isinstance(end, Ended):
        return "succeeded" if end.succeeded else f"failed: {end.error[:300]}"
    return "died"
