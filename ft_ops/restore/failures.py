"""Finds the rows at which a statement fails, so that they stay out and all others go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from ft_ops.pg.connect import Connection

_MOST: Final = 1_000
"""So many failing rows are found one by one; what fails together after that stays out together."""

_TOGETHER: Final = f"tried together with other rows, after {_MOST:,} had failed, and not all of"

_NOT_ABOUT_ROWS: Final = ("08", "25", "3B", "3D", "40", "53", "54", "55", "57", "58", "F0", "XX")
"""Classes of SQLSTATE that say something of the session, the server or others who are at work."""

_PLACE_TAKEN: Final = (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation)
_QUOTED: Final = re.compile(r'(?::|(?<=\bvalue)) "(?:[^"]|"")*"')
_FUNCTION: Final = re.compile(r"PL/pgSQL function (\S+?)\(")


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows, by their numbers from ``first`` to ``last``, and the error that one of them gave."""

    first: int
    last: int
    error: psycopg.Error

    def in_words(self, columns: Sequence[str] = ()) -> str:
        """Why the rows stay out: see `in_words`. Of several, any may be the one that failed."""
        why = in_words(self.error, columns)
        return why if self.first == self.last else f"{_TOGETHER} them were taken: {why}"


def is_about_rows(error: psycopg.Error) -> bool:
    """Whether an error is about what was written, and not about the session or the server."""
    if error.sqlstate is None or isinstance(error, psycopg.errors.UndefinedTable):
        # A month's table that was removed behind the catalog's reading.
        return False
    return error.sqlstate[:2] not in _NOT_ABOUT_ROWS


def failures_among(
    connection: Connection, first: int, last: int, act: Callable[[int, int], object]
) -> list[Failure]:
    """Do ``act`` on the rows from ``first`` to ``last``, but for those at which it fails.

    Halves what fails until it is single rows, each half within a savepoint.
    """
    waiting = [(first, last)]
    found: list[Failure] = []
    while waiting:
        low, high = waiting.pop()
        try:
            with connection.transaction():
                act(low, high)
        except psycopg.Error as error:
            if not is_about_rows(error):
                raise
            if low == high or len(found) >= _MOST:
                found.append(Failure(low, high, error))
            else:
                middle = (low + high) // 2
                waiting += [(middle + 1, high), (low, middle)]
    return found


def failures_in_any_order(
    connection: Connection, first: int, last: int, act: Callable[[int, int], object]
) -> list[Failure]:
    """The same of rows that may refer to each other: tried again as long as that brings more in."""
    found = failures_among(connection, first, last, act)
    before = -1
    while len(found) != before and any(
        isinstance(failure.error, psycopg.errors.ForeignKeyViolation) for failure in found
    ):
        before = len(found)
        found = [
            again
            for failure in found
            for again in failures_among(connection, failure.first, failure.last, act)
        ]
    return found


def state_of(error: psycopg.Error) -> str:
    """What a row that failed counts as."""
    return "conflict" if isinstance(error, _PLACE_TAKEN) else "blocked"


def in_words(error: psycopg.Error, columns: Sequence[str] = ()) -> str:
    """Why a row stays out, and what to do: the same for all rows with that cause, no row's value.

    ``columns``: those that are known not to take the row's values.
    """
    said, name = error.diag, error.diag.constraint_name
    message = _QUOTED.sub("", (said.message_primary or type(error).__name__).splitlines()[0])[:200]
    function = _FUNCTION.search(said.context or "")
    what = ", ".join(columns) or "today's table"
    cases: tuple[tuple[object, str], ...] = (
        (
            isinstance(error, psycopg.errors.NotNullViolation) and said.column_name,
            f"{said.column_name} must be set today, and the copy has nothing for it",
        ),
        (isinstance(error, _PLACE_TAKEN), f"{name}: another row has its place now"),
        (
            isinstance(error, psycopg.errors.CheckViolation) and name,
            f"{name} refuses it today",
        ),
        (
            isinstance(error, psycopg.errors.ForeignKeyViolation) and name,
            f"{name}: what it refers to is not there",
        ),
        (
            function,
            f"{function[1] if function else ''}() refuses it: {message}. Next: see who calls it",
        ),
        (
            isinstance(error, psycopg.errors.InsufficientPrivilege),
            f"this role may not write it: {message}. Next: grant that, then run again",
        ),
        (
            True,
            f"{what} can't take it: {message}. Next: let it take that again, then run again",
        ),
    )
    return next(said for holds, said in cases if holds)
