"""Strikes a step at one point with one fault, runs it again, and says what is wrong afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tests.faults.probe import Moment
from tests.faults.runs import Died, Ended, Paused, Run, Zygote
from tests.faults.world import Rows, State, World, new_world
from tests.fixtures.postgres import Database, close

Step: TypeAlias = Literal[
    "move", "archive", "archive_without_lock", "purge", "ask", "thaw", "cancel", "refreeze", "erase"
]

LIFE: Final[Mapping[Step, tuple[Step, ...]]] = {
    "move": (),
    "archive": ("move",),
    "purge": ("move", "archive"),
    "thaw": ("move", "archive", "purge"),
    "cancel": ("move", "archive", "purge", "ask"),
    "refreeze": ("move", "archive", "purge", "thaw"),
    "erase": ("move", "archive_without_lock", "purge"),
}
"""The steps of a month's life, each with those that come before it."""

_SHARING_A_BUCKET: Final = ("purge", "refreeze")
"""Steps that write nothing but claims and records into the bucket: their worlds are clones of one
that was prepared, and what they have written is taken out again."""

_READS: Final = ("SQL SELECT", "SQL SET", "S3 GET", "S3 HEAD")

_BEFORE: Final[tuple[Moment, ...]] = ("before",)
_BOTH: Final[tuple[Moment, ...]] = ("before", "in flight")

_AGAIN: Final = 3
"""Runs that a step may need after a fault; a schedule gives it one a day, for ever."""

_SECONDS: Final = 30
"""The longest wait for a dead run's server process: it looks for its client every 5 s."""

Fault: TypeAlias = Callable[[Run, World], Iterable[str]]
"""What is done to a run that stands at its point; afterwards it is dead or goes on. Returns what
was wrong meanwhile."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a fault struck: the ``number``-th statement or request of a step, and in words."""

    step: Step
    number: int
    at: str
    fault: str


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one point, and what came of it."""

    point: Point
    first_end: str
    runs: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        result = "; ".join(self.problems) or "well"
        p = self.point
        return f"{p.step} {p.number}, {p.fault} {p.at}: {self.first_end}, {result}"


@dataclass(frozen=True, slots=True)
class Chaos:
    """Where faults are injected: a zygote, and the template of every world."""

    zygote: Zygote
    template: Database
    original: Rows
    temporary: Path
    stack: ExitStack
    _prepared: dict[Step, World] = field(default_factory=dict)
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
                paused = run.pause()
                if paused is None:
                    return None
                problems = list(fault(run, world))
                end = run.event()
            finally:
                run.close()
            point = Point(step, number, f"{moment} {paused.label}", name)
            return self.judge(world, point, end, problems)

    def judge(
        self,
        world: World,
        point: Point,
        end: Ended | Died | Paused,
        problems: Iterable[str] = (),
        *,
        may_leave: bool = False,
    ) -> Strike:
        """Run a disturbed step again until it succeeds, and compare the world with what it
        should be. ``may_leave``: the bucket may hold more than that, which nobody was told of."""
        found = [*problems, *_problems_at_once(world, end)]
        runs = 0
        if not (isinstance(end, Ended) and end.succeeded):
            self.wait_for_backends(world)
            runs = self._run_again(world, point.step, found)
        found += _problems(world, self._baseline(point.step)[0], may_leave=may_leave)
        found += [f"{left.name} is left" for left in self.temporary.iterdir()]
        return Strike(point, _in_words(end), runs, tuple(found))

    def moments(self, step: Step) -> list[tuple[int, Moment]]:
        """Every point with its moments: a read that was sent is like one that was not."""
        return [
            (number, moment)
            for number, label in enumerate(self.points(step), start=1)
            for moment in (_BEFORE if label.startswith(_READS) else _BOTH)
        ]

    @contextmanager
    def world_before(self, step: Step) -> Iterator[World]:
        """A new world that has lived, undisturbed, until a step is due."""
        # Before, and not beside it: two worlds with one bucket would meet each other's claims.
        self._baseline(step)
        with self._world_before(step) as world:
            yield world

    @contextmanager
    def _world_before(self, step: Step) -> Iterator[World]:
        if step in _SHARING_A_BUCKET:
            before = self._prepared_world(step)
            with new_world(before.database, self.original, bucket=before.bucket) as world:
                there = world.written()
                yield world
                world.remove_other_than(there)
        else:
            with new_world(self.template, self.original) as world:
                self._live_until(world, step)
                yield world

    def _prepared_world(self, step: Step) -> World:
        if step not in self._prepared:
            world = self.stack.enter_context(new_world(self.template, self.original))
            self._live_until(world, step)
            close(world.database)
            self._prepared[step] = world
        return self._prepared[step]

    def _live_until(self, world: World, step: Step) -> None:
        for earlier in LIFE[step]:
            if earlier == "purge":
                world.rely_on_a_backup()
            self._finish(world, earlier)
        if step == "purge":
            world.rely_on_a_backup()
        if step == "erase":
            world.erase_a_thread()

    def wait_for_backends(self, world: World) -> None:
        """Until the server has noticed that whoever worked in a world is dead."""
        wait_until(lambda: not world.backends())

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
            with self._world_before(step) as world:
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


def _problems(world: World, expected: State, *, may_leave: bool) -> Iterator[str]:
    state = world.state()
    yield from expected.differences(state.with_what_is_in(expected) if may_leave else state)
    if lost := world.lost():
        yield f"{len(lost)} rows lost, such as {lost[0][:200]}"
    if duplicated := world.duplicated():
        yield f"{len(duplicated)} segments twice, such as {duplicated[0]}"


def _in_words(end: Paused | Ended | Died) -> str:
    if isinstance(end, Ended):
        return "succeeded" if end.succeeded else f"failed: {end.error[:300]}"
    return "died"
