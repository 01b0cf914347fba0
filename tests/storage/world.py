"""A small random world of families, and what its storage must come to, added up in Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.storage import Recomputation, recompute_changed, recompute_everything
from ft_ops.storage.changes import ESTIMATES, MediaVersion

MONTHS = [Month(2024, month) for month in range(1, 6)]

_TEXTS = (None, "", "plain", "Zoë 👩‍👩‍👧 ابن e\u0301", "long " * 900)
_URLS = (None, "", "https://media.example/audio/1.m4a", "https://media.example/" + "x" * 3000)
_PHOTOS: tuple[list[str | None] | None, ...] = (
    None,
    [],
    [None],
    ["https://media.example/1.jpg"],
    ["a", None, "b", ""],
)
_BOOLS = (True, False, False, False, None)


@dataclass
class World:
    """Ids of what the world holds; the database is the truth about everything else."""

    connection: Connection
    dice: random.Random
    users: list[UUID] = field(default_factory=list)
    families: list[UUID] = field(default_factory=list)
    books: list[UUID] = field(default_factory=list)
    threads: list[UUID] = field(default_factory=list)
    sequence: int = 0

    def pick(self, ids: Sequence[UUID]) -> UUID:
        return self.dice.choice(ids)

    def moment(self, month: Month) -> datetime:
        """Any instant of the month, its first and last ones more often than others."""
        last = month.end - timedelta(microseconds=1)
        inside = month.start + (month.end - month.start) * self.dice.random()
        return self.dice.choice([month.start, last, inside, inside])

    def add_segment(self, month: Month, connection: Connection | None = None) -> UUID:
        self.sequence += 1
        row: dict[str, Any] = {
            "thread_id": self.pick(self.threads),
            "user_id": self.pick(self.users),
            "content_type": self.dice.choice(["text", "audio", "photo", "mixed"]),
            "sequence_number": self.sequence,
            "text_content": self.dice.choice(_TEXTS),
            "audio_url": self.dice.choice(_URLS),
            "audio_transcript": self.dice.choice(_TEXTS),
            "photo_urls": self.dice.choice(_PHOTOS),
            "is_deleted": self.dice.choice(_BOOLS),
            "created_at": self.moment(month),
        }
        return insert(connection or self.connection, "content_segments", row)

    def segments(self) -> list[UUID]:
        rows = self.connection.execute("SELECT id FROM content_segments").fetchall()
        return [row[0] for row in rows]


def make_world(connection: Connection, seed: int, *, segments: int = 60) -> World:
    """Three families, one without a book; users in none, one or two of them."""
    world = World(connection, random.Random(seed))
    with connection.transaction():
        world.users = [
            insert(connection, "users", {"clerk_id": f"c{n}", "email": f"{n}@example.org"})
            for n in range(5)
        ]
        world.families = [
            insert(connection, "families", {"name": f"F{n}", "owner_id": world.users[n]})
            for n in range(3)
        ]
        for family, user in ((0, 0), (0, 1), (1, 1), (1, 2)):
            row = {"family_id": world.families[family], "user_id": world.users[user]}
            insert(connection, "family_members", row)
        world.books = [
            insert(
                connection,
                "memory_books",
                {
                    "family_id": world.families[n % 2],
                    "title": f"B{n}",
                    "created_by": world.users[0],
                },
            )
            for n in range(5)
        ]
        # The last book stays without a thread.
        world.threads = [
            insert(
                connection,
                "threads",
                {"memory_book_id": world.books[n % 4], "started_by": world.users[0]},
            )
            for n in range(8)
        ]
        for _ in range(segments):
            world.add_segment(world.dice.choice(MONTHS))
    return world


def changed(
    connection: Connection,
    log: Callable[[str], None] = lambda line: None,
    *,
    media: MediaVersion = ESTIMATES,
) -> Recomputation:
    """Count what changed, by two readers."""
    return recompute_changed(
        connection, _session(connection), readers=2, run_id="test", media=media, log=log
    )


def everything(
    connection: Connection, log: Callable[[str], None] = lambda line: None
) -> Recomputation:
    """Count every month, by two readers."""
    return recompute_everything(connection, _session(connection), readers=2, run_id="test", log=log)


def _session(connection: Connection) -> Callable[[], Connection]:
    # Test databases are reached by a socket, without a password.
    return lambda: connect(connection.info.dsn, application="reader")


def insert(connection: Connection, table: str, row: dict[str, Any]) -> UUID:
    columns = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    statement = f"INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING id"
    found = connection.execute(statement, row).fetchone()
    assert found is not None
    return UUID(str(found[0]))


def segment_bytes(row: dict[str, Any]) -> int:
    """What one segment occupies by the estimate; a deleted one nothing."""
    if row["is_deleted"]:
        return 0
    texts = [row["text_content"], row["audio_transcript"]]
    return (
        sum(len(text.encode()) for text in texts if text is not None)
        + (1_048_576 if row["audio_url"] is not None else 0)
        + 524_288 * len(row["photo_urls"] or [])
    )


@dataclass(frozen=True)
class Expected:
    """Bytes by family and user, every one of them; and by month, book and user."""

    families: dict[UUID, int]
    users: dict[UUID, int]
    rollup: dict[tuple[Month, UUID, UUID], tuple[int, int]]


def expected(connection: Connection) -> Expected:
    """Added up row by row from plain copies of the tables."""
    books = _column(connection, "memory_books", "family_id")
    threads = _column(connection, "threads", "memory_book_id")
    families = Counter(dict.fromkeys(_column(connection, "families", "owner_id"), 0))
    users = Counter(dict.fromkeys(_column(connection, "users", "clerk_id"), 0))
    rollup: dict[tuple[Month, UUID, UUID], tuple[int, int]] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute("SELECT * FROM content_segments"):
            if row["is_deleted"]:
                continue
            size = segment_bytes(row)
            book = threads[row["thread_id"]]
            families[books[book]] += size
            users[row["user_id"]] += size
            key = (Month.of(row["created_at"].astimezone(UTC)), book, row["user_id"])
            count, total = rollup.get(key, (0, 0))
            rollup[key] = (count + 1, total + size)
    return Expected(dict(families), dict(users), rollup)


def stored(connection: Connection) -> Expected:
    """The same as the rollup and the totals in the schema ops have it."""
    totals: dict[UUID, int] = dict(
        connection.execute("SELECT family_id, bytes FROM ops.storage_families")
    )
    users = dict.fromkeys(_column(connection, "users", "clerk_id"), 0)
    users |= dict(connection.execute("SELECT user_id, bytes FROM ops.storage_users"))
    rows = connection.execute(
        "SELECT month, memory_book_id, user_id, segments, bytes FROM ops.storage_rollup"
    )
    rollup = {(Month.of(r[0]), r[1], r[2]): (r[3], r[4]) for r in rows}
    return Expected(totals, users, rollup)


def shown(connection: Connection) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """What the product shows: storage_used_bytes of families and of users."""
    return (
        _column(connection, "families", "storage_used_bytes"),
        _column(connection, "users", "storage_used_bytes"),
    )


def _column(connection: Connection, table: str, column: str) -> dict[UUID, Any]:
    return dict(connection.execute(f"SELECT id, {column} FROM {table}"))
