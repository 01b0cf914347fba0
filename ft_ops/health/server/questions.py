"""What is asked of the server and its catalog each day, beyond what the migrations made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import sql

from ft_ops.clock import other_clock
from ft_ops.errors import OpsError, explained
from ft_ops.format import human_bytes, human_duration
from ft_ops.health.samples import samples_ahead
from ft_ops.health.server.problem import Problem
from ft_ops.health.server.versions import version_problems
from ft_ops.pg.connect import Connection, server_time
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

SEQUENCE_WARNING: Final = 0.75
SEQUENCE_ERROR: Final = 0.9
IDLE_FOR: Final = timedelta(hours=1)
IDLE_BYTES: Final = 10**9
"""Log that an unread slot may hold on a server that can't tell since when nobody has read it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a question is asked, and when."""

    connection: Connection
    now: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """A check by its name, what it holds, and how it is asked."""

    check: str
    holds: str
    ask: Callable[[Asked], Iterable[Problem]]


def answer(question: Question, connection: Connection, now: datetime) -> list[Problem]:
    """What is wrong; that it could not be asked is a problem, too."""
    try:
        with explained(question.check):
            return list(question.ask(Asked(connection, now)))
    except OpsError as error:
        return [Problem(f"not known: {error.cause}. Next: {error.next_step}")]


def _checksums(asked: Asked) -> Iterable[Problem]:
    asked.connection.execute(statement("health/note_checksum_failures"))
    rows = asked.connection.execute(statement("health/checksums")).fetchall()
    if not all(are_on for are_on, *_ in rows):
        yield Problem(
            "the server has no data checksums: a flipped bit is found only where a row differs. "
            "Stop it and run pg_checksums --enable"
        )
    for _, name, failures, last in rows:
        if failures:
            pages = f"{failures} pages did not match their checksums"
            yield Problem(f"{name}: {pages}, the last on {last:%Y-%m-%d}", is_error=True)


def _version(asked: Asked) -> Iterable[Problem]:
    return version_problems(asked.connection.info.server_version, asked.now.date())


def _constraints(asked: Asked) -> Iterable[Problem]:
    for name, constraint in asked.connection.execute(statement("health/unvalidated_constraints")):
        yield Problem(f"{name}: {constraint} was never validated")


def _collations(asked: Asked) -> Iterable[Problem]:
    for name, made_with, found, users in asked.connection.execute(
        statement("health/outdated_collations")
    ):
        yield Problem(
            f"collation {name}, which {users} columns or indexes use, was made with version "
            f"{made_with} of its library, and the system has {found or 'none'}: indexes by it may "
            "miss rows"
        )


def _extensions(asked: Asked) -> Iterable[Problem]:
    for name, installed, found in asked.connection.execute(statement("health/outdated_extensions")):
        if found is None:
            yield Problem(
                f"extension {name} {installed}: the server has no files of it", is_error=True
            )
        else:
            yield Problem(f"extension {name} is {installed}, and the server has {found}")


def _sequences(asked: Asked) -> Iterable[Problem]:
    connection = asked.connection
    first = {
        oid: one_row(
            connection.execute(
                statement("health/first_number").format(sequence=sql.Identifier(schema, name))
            )
        )[0]
        for oid, schema, name in connection.execute(statement("health/uncalled_sequences"))
    }
    found = connection.execute(
        statement("health/sequences"),
        {"uncalled": list(first), "first_numbers": list(first.values())},
    )
    for name, narrow_column, is_held, used in found:
        if used is None:
            why = "somebody changes it now" if is_held else "its numbers may not be read"
            yield Problem(f"{name} is not known: {why}")
        elif used >= SEQUENCE_WARNING:
            which = f"the numbers that {narrow_column} takes" if narrow_column else "its numbers"
            words = f"{name}: {used:.1%} of {which} are used up"
            yield Problem(words, is_error=used >= SEQUENCE_ERROR)


def _replication(asked: Asked) -> Iterable[Problem]:
    for name, publication, why in asked.connection.execute(
        statement("health/refusing_publications")
    ):
        yield Problem(
            f"publication {publication} sends updates of {name}, {why}: the server refuses UPDATE "
            "and DELETE of them",
            is_error=True,
        )
    for (name,) in asked.connection.execute(statement("health/publications_of_all")):
        yield Problem(
            f"publication {name} sends out every table of a schema, also those that are made as "
            "months come and go: a subscriber that has none of that name stops there, and its slot "
            "holds the log"
        )
    for name, since, held, invalid in asked.connection.execute(statement("health/idle_slots")):
        if invalid is not None:
            yield Problem(f"slot {name} is of no use any more: {invalid}")
        elif is_forgotten(since, held, asked.now):
            idle = asked.now - since.astimezone(UTC) if since is not None else None
            how_long = f" for {human_duration(idle.total_seconds())}" if idle is not None else ""
            yield Problem(
                f"nobody reads slot {name}{how_long}, which holds {human_bytes(held)} of log"
            )
    for name, why in asked.connection.execute(statement("health/resting_subscriptions")):
        yield Problem(f"subscription {name} {why}")


def is_forgotten(since: datetime | None, held_bytes: int, now: datetime) -> bool:
    """Whether a slot that nobody reads is more than a reader that restarts."""
    if since is None:
        return held_bytes >= IDLE_BYTES
    return now - since >= IDLE_FOR


def _clocks(asked: Asked) -> Iterable[Problem]:
    server = server_time(asked.connection)
    words = other_clock(asked.now, server)
    if words is not None:
        yield Problem(
            f"{words}: set the one that is wrong. Until then no figures are removed for their age, "
            "and what this machine calls late or due may not be",
            is_error=True,
        )
    number, furthest = samples_ahead(asked.connection, server)
    if furthest is not None:
        yield Problem(
            f"{number:,} figures in ops.metric_samples are dated after now, up to "
            f"{furthest:%Y-%m-%d}, by a clock that was ahead: no forecast and no page counts them "
            "until then. Delete them"
        )


QUESTIONS: Final = (
    Question(
        "clocks_agree",
        "This machine's clock and the server's tell the same time, give or take an hour, and no "
        "figure is dated after now.",
        _clocks,
    ),
    Question(
        "data_checksums",
        "Pages carry checksums, and none was found that does not match.",
        _checksums,
    ),
    Question(
        "minor_version",
        "The server's minor version is the newest that is known here, and its major version is "
        "still maintained.",
        _version,
    ),
    Question(
        "constraints_validated",
        "No constraint was added NOT VALID and left so.",
        _constraints,
    ),
    Question(
        "collations_current",
        "The collations that columns and indexes use are sorted by the library that the system has "
        "now. The database's own is held by server_settings.",
        _collations,
    ),
    Question(
        "extensions_current",
        "Each extension is at the version whose files the server has.",
        _extensions,
    ),
    Question(
        "sequences_have_room",
        "No sequence has used up 75 % of its numbers, or of those that a column which gets them "
        "takes, by its default or by a foreign key (an error from 90 % on).",
        _sequences,
    ),
    Question(
        "logical_replication",
        "No publication makes the server refuse updates, no slot is forgotten or of no use, no "
        "subscription is disabled or fails.",
        _replication,
    ),
)
