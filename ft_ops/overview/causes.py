"""One line for each cause: what one section of the runbook mends, or one error has darkened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ft_ops.standing import Standing, Status

_NAME: Final = re.compile(r'"[^"]*"')
"""Without its names, an error is the same for every table that is missing or refused."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Standings that one action mends, the worst first; a figure says more than a failed check."""

    standings: tuple[Standing, ...]

    @property
    def status(self) -> Status:
        """That of the worst."""
        return self.standings[0].status


def causes(standings: Iterable[Standing]) -> list[Cause]:
    """The standings by their cause, the worst cause first, in the given order among equals.

    Standings have one cause when the same section of the runbook is about them, or when the same
    error keeps them from being known: a server that does not answer is one cause, however many
    rooms could not ask it. What is good has no cause, and stands alone.
    """
    groups: list[tuple[set[str], list[Standing]]] = []
    for standing in standings:
        names = _names(standing)
        joined = [group for group in groups if group[0] & names]
        merged = (names.union(*(n for n, _ in joined)), [s for _, of in joined for s in of])
        merged[1].append(standing)
        place = groups.index(joined[0]) if joined else len(groups)
        groups = [group for group in groups if group not in joined]
        groups.insert(place, merged)
    found = [
        Cause(tuple(sorted(of, key=lambda s: (-s.status, s.area == "checks")))) for _, of in groups
    ]
    return sorted(found, key=lambda cause: -cause.status)


def _names(standing: Standing) -> set[str]:
    """By what a standing is known to share its cause with another; nothing when it is good."""
    if standing.status == Status.GOOD:
        return set()
    names = {f"section {standing.section}"} if standing.section else set()
    if standing.status == Status.UNKNOWN and standing.reason:
        names.add(f"error {_NAME.sub('', standing.reason)}")
    return names
