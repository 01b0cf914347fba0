"""What is known of a thing: that it is good, that it is bad, or that nobody knows; and since when.

A question that could not be asked has an answer, too: unknown, with the reason. Unknown is never
good. Checks, the overview, the metrics, the heartbeat and the doctor all say it in these words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from ft_ops.clock import MOST_CLOCK_SKEW
from ft_ops.errors import OpsError, explained
from ft_ops.format import human_duration


class Status(IntEnum):
    """How much a thing needs somebody: the more, the higher."""

    GOOD = 0
    WARNING = 1
    UNKNOWN = 2
    BAD = 3


ONCE_A_DAY: Final = timedelta(hours=24, minutes=15)
"""Age above which what is done every day was not done today. The page is written at 06:30, half an
hour after the last of what it tells: a longer patience would show a failure of this morning
tomorrow."""


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of a series."""

    sampled_at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one thing.

    ``area`` is the room that was asked, ``what`` the thing, ``figure`` what is known of it in a
    word or two, and ``reason`` why it is as it is. ``since`` is the moment from which on a thing
    that is not good has been so; of an unknown one, the moment until which it was known.
    ``section`` is the runbook's section on what to do. ``history`` is drawn beside the figure, and
    what lies above ``limit`` is marked in it.
    """

    area: str
    what: str
    status: Status
    figure: str
    reason: str = ""
    since: datetime | None = None
    section: str | None = None
    history: tuple[Point, ...] = ()
    limit: float | None = None


def asked(
    area: str, what: str, question: Callable[[], Iterable[Standing]], *, section: str | None = None
) -> list[Standing]:
    """The answers to ``question``; when it can't be answered, that ``what`` is unknown, and why.

    Only an error that a person can cause is an answer; a defect of ours is raised.
    """
    try:
        with explained(what):
            return list(question())
    except OpsError as error:
        return [
            Standing(
                area,
                what,
                Status.UNKNOWN,
                "not known",
                f"{error.cause}. Next: {error.next_step}",
                section=section,
            )
        ]


def stale_since(known_at: datetime, now: datetime, patience: timedelta) -> datetime | None:
    """Since when something that was known at ``known_at`` is not known any more, None if it is.

    What is dated after now was dated by a wrong clock, or this one is wrong: nobody knows its age.
    """
    is_known = -MOST_CLOCK_SKEW <= now - known_at <= patience
    return None if is_known else known_at


def age_in_words(known_at: datetime, now: datetime) -> str:
    """``4 min ago``, and the same words for what a faster clock has put into the future."""
    return f"{human_duration(max((now - known_at).total_seconds(), 0.0))} ago"
