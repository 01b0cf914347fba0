"""The rooms that the overview asks, each about its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Final

from ft_ops import archive, backups, health, maintenance, partitions, storage
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings
from ft_ops.standing import Standing, asked

Question = Callable[[Connection, Settings, datetime], Sequence[Standing]]

ROOMS: Final[Mapping[str, Question]] = {
    "partitions": partitions.standings,
    "archive": archive.standings,
    "backups": backups.standings,
    "storage": storage.standings,
    "maintenance": maintenance.standings,
    "health": health.standings,
}
"""The rooms in the order of the page, each with the function that says what is known of it."""


def ask_rooms(
    connect: Callable[[], AbstractContextManager[Connection]], settings: Settings, now: datetime
) -> list[Standing]:
    """What each room knows. One that can't be asked is unknown, and hides no other.

    Each is asked on a connection of its own: one that is lost takes no other room along.
    """

    def ask(question: Question) -> Sequence[Standing]:
        with connect() as connection:
            return question(connection, settings, now)

    return [
        standing
        for room, question in ROOMS.items()
        for standing in asked(room, room, partial(ask, question))
    ]
