"""From its export to Glacier a month passes few files, and seldom comes back to one of them.

What is followed is the generation, and the run that carries it: a file is entered when one of its
functions is called with either of them, and returned to when such a call ends.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Final

import ft_ops.archive
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.run import Run
from tests.archive.world import World

ROOM: Final = Path(ft_ops.archive.__file__).parent
PAGE: Final = ROOM.parents[1] / "docs" / "architecture.md"

LUGGAGE: Final = ("month/", "run.py")
"""What a month takes along: the run, the generation, and the ledger that each step asks."""


@dataclass(slots=True)
class Trip:
    """The files that had the month in hand, in their order."""

    entered: list[str] = field(default_factory=list)
    _hands: list[str | None] = field(default_factory=list)
    _begun: list[FrameType] = field(default_factory=list)

    @property
    def files(self) -> set[str]:
        """Every file that had it, those of the luggage too."""
        return set(self.entered)

    @property
    def stops(self) -> list[str]:
        """The steps' files, one for each time that the month came into one."""
        steps = (file for file in self.entered if not file.startswith(LUGGAGE))
        return [file for file, _ in groupby(steps)]

    def watch(self, frame: FrameType, event: str, _: object) -> None:
        """Called by the interpreter at each call and at each return, in this thread."""
        if event == "call":
            self._hands.append(self._file(frame))
        elif event == "return" and self._hands:
            self._hands.pop()
        else:
            return
        holder = next((file for file in reversed(self._hands) if file is not None), None)
        if holder is not None:
            self.entered.append(holder)

    def _file(self, frame: FrameType) -> str | None:
        """The room's file that a call enters with the month in hand; None for every other call."""
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(ROOM) or not _carries(frame):
            return None
        if frame.f_code.co_flags & inspect.CO_GENERATOR:
            # The end of a with block calls nobody with the month again: it cleans up.
            if frame in self._begun:
                return None
            self._begun.append(frame)
        return str(path.relative_to(ROOM))


def _carries(frame: FrameType) -> bool:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return any(isinstance(frame.f_locals.get(name), Generation | Run) for name in names)


@contextmanager
def followed() -> Iterator[Trip]:
    trip = Trip()
    before: Callable[..., object] | None = sys.getprofile()
    sys.setprofile(trip.watch)
    try:
        yield trip
    finally:
        sys.setprofile(before)


def test_from_export_to_glacier_a_month_passes_few_files_and_the_page_shows_them(
    world: World,
) -> None:
    world.fill()
    world.move()
    with followed() as trip:
        generation = world.freeze()
    assert generation.state == "frozen"
    # The way ends with the freeze; who asked for the archive has the month back then.
    *way, home = trip.stops
    assert (way[0], way[-1], home) == ("proof/workflow.py", "store/freeze.py", way[0])
    assert len(trip.files) <= 9, trip.files
    assert len(way) - len(set(way)) <= 4, way
    shown = " → ".join(stop.removesuffix(".py") for stop in way)
    assert shown in " ".join(PAGE.read_text(encoding="utf-8").split())
