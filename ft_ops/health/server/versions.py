"""Whether the server's minor version is the newest of its major one, by a list with a date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from ft_ops.health.server.problem import Problem


@dataclass(frozen=True, slots=True)
class Major:
    """A major version: its newest minor one, and the day after which none will follow."""

    newest: int
    ends_on: date


LISTED_ON: Final = date(2026, 8, 20)
"""The day on which the list was true. A release of ft-ops looks it up anew."""
MAJORS: Final = {
    15: Major(19, date(2027, 11, 11)),
    16: Major(15, date(2028, 11, 9)),
    17: Major(11, date(2029, 11, 8)),
    18: Major(6, date(2030, 11, 14)),
}
_LOOK_IT_UP: Final = (
    "Compare it with https://www.postgresql.org/support/versioning/. Update ft-ops to a release "
    "whose list is newer; without one, put what stands there into MAJORS and LISTED_ON of "
    "ft_ops/health/server/versions.py"
)
_MONTHS: Final = (2, 5, 8, 11)
_THURSDAY: Final = 3
_TO_LOOK_IT_UP: Final = timedelta(days=14)
"""So long after a release was due, the list still counts: a release of ft-ops comes with it."""


def version_problems(version_number: int, today: date) -> list[Problem]:
    """What is wrong with a version, as `server_version_num` has it."""
    major, minor = divmod(version_number, 10_000)
    known = MAJORS.get(major)
    if known is None:
        older = major < min(MAJORS)
        if older:
            return [
                Problem(f"PostgreSQL {major} is no longer maintained: upgrade it", is_error=True)
            ]
        newer = f"PostgreSQL {major}.{minor} is newer than the list of {LISTED_ON}"
        return [Problem(f"{newer}: whether it is the newest is not known. {_LOOK_IT_UP}")]
    name = f"PostgreSQL {major}.{minor}"
    problems = []
    if today > known.ends_on:
        words = f"PostgreSQL {major} is no longer maintained since {known.ends_on}: upgrade it"
        problems.append(Problem(words, is_error=True))
    if minor < known.newest:
        behind = (
            f"{major}.{known.newest} was out on {LISTED_ON}, and mends what was found since. "
            "Stop the server, replace its programs, start it"
        )
        problems.append(Problem(f"{name} is not the newest: {behind}"))
    elif today - (due := next_release(LISTED_ON)) > _TO_LOOK_IT_UP:
        problems.append(
            Problem(
                f"whether {name} is the newest is not known: a minor version was due on {due}, and "
                f"the list here is of {LISTED_ON}. {_LOOK_IT_UP}"
            )
        )
    return problems


def next_release(after: date) -> date:
    """The day on which the next minor versions are due: a quarter's second month's second Thursday.

    That is what the PostgreSQL project announces; some come between.
    """
    seconds = (
        date(year, month, 8 + (_THURSDAY - date(year, month, 8).weekday()) % 7)
        for year in (after.year, after.year + 1)
        for month in _MONTHS
    )
    return next(day for day in seconds if day > after)
