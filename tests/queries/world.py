"""Random families in every state that the product queries must tell apart."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg import sql

from ft_ops.pg.connect import Connection

ARCHIVED_AT = datetime(2024, 1, 15, tzinfo=UTC)
TAGS = ("grandma", "война", "recipes", "sea", "unused")

_NULLABLE_BOOLS = (True, True, True, False, None)
_TEXTS = (None, "", "plain", "Zoë 👩‍👩‍👧 ابن", "x" * 5000)


def populate(connection: Connection, seed: int) -> None:
    """Write the random world of ``seed``: 5 families, 9 users, some 250 segments.

    Segments of January 2024 end up in archived_content_segments.
    """
    with connection.transaction():
        _write(connection, random.Random(seed))
    # Knowing how small it is, the planner reads it in the order of insertion, not by an index
    # that happens to be in the order asked for.
    connection.execute("ANALYZE photo_narrations")


def _write(connection: Connection, dice: random.Random) -> None:
    now = datetime.now(UTC)
    users = [_user(connection, dice, now, number) for number in range(9)]
    families = [_family(connection, dice, now, users) for _ in range(4)]
    # Whatever the dice say: somebody in two families, a thread with more than a search returns,
    # and a family without a book.
    for family in families[:2]:
        _insert(
            connection,
            "family_members",
            {"family_id": family, "user_id": users[0], "role": "member", "is_active": True},
        )
    _busy_thread(connection, now, families[0], users)
    _insert(connection, "families", {"name": "No book yet", "owner_id": users[0]})
    connection.execute("ALTER TABLE content_segments DETACH PARTITION content_segments_2024_01")
    connection.execute(
        "ALTER TABLE archived_content_segments ATTACH PARTITION content_segments_2024_01"
        " FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"
    )


def _user(connection: Connection, dice: random.Random, now: datetime, number: int) -> UUID:
    return _insert(
        connection,
        "users",
        {
            "clerk_id": f"clerk_{number}",
            "email": f"{number}@example.org",
            "display_name": dice.choice([None, f"Member {number}"]),
            "avatar_url": dice.choice([None, f"https://example.org/{number}.webp"]),
            "last_login_at": dice.choice(
                [None, now - timedelta(days=29), now - timedelta(days=31), now - timedelta(hours=1)]
            ),
        },
    )


def _family(
    connection: Connection, dice: random.Random, now: datetime, users: Sequence[UUID]
) -> UUID:
    family = _insert(connection, "families", {"name": "Family", "owner_id": dice.choice(users[1:])})
    for user in dice.sample(users[1:], 4):
        _insert(
            connection,
            "family_members",
            {
                "family_id": family,
                "user_id": user,
                "role": dice.choice(["owner", "admin", "editor", "member", "viewer"]),
                "is_active": dice.choice(_NULLABLE_BOOLS),
            },
        )
    for privacy in ("family", "private", "public", None, "family"):
        book = _insert(
            connection,
            "memory_books",
            {
                "family_id": family,
                "title": "Book",
                "created_by": dice.choice(users),
                "privacy": privacy,
                # A stored counter that is wrong: results must count.
                "thread_count": 99,
            },
        )
        kinds = dice.choice([("text",), ("text", "audio", "photo", "mixed")])
        for _ in range(dice.choice([0, 1, 2, 3])):
            thread = _insert(
                connection,
                "threads",
                {"memory_book_id": book, "title": "Thread", "started_by": dice.choice(users)},
            )
            for sequence_number in dice.sample(range(1, 30), dice.choice([0, 1, 4, 10])):
                _segment(connection, dice, now, users, thread, sequence_number, dice.choice(kinds))
    return family


def _busy_thread(
    connection: Connection, now: datetime, family: UUID, users: Sequence[UUID]
) -> None:
    book = _insert(
        connection,
        "memory_books",
        {"family_id": family, "title": "Busy", "created_by": users[0]},
    )
    thread = _insert(
        connection, "threads", {"memory_book_id": book, "title": None, "started_by": users[0]}
    )
    for sequence_number in range(60):
        segment = _insert(
            connection,
            "content_segments",
            {
                "thread_id": thread,
                "user_id": users[sequence_number % 2],
                "content_type": "text",
                "sequence_number": sequence_number,
                "text_content": "text",
                "created_at": now - timedelta(hours=12 * sequence_number),
            },
        )
        _insert(
            connection,
            "content_tags",
            {"content_segment_id": segment, "tag_name": "sea", "tagged_by": users[0]},
        )


def _segment(
    connection: Connection,
    dice: random.Random,
    now: datetime,
    users: Sequence[UUID],
    thread: UUID,
    sequence_number: int,
    kind: str,
) -> None:
    jitter = timedelta(microseconds=dice.randrange(10**9))
    created_at = jitter + dice.choice(
        [ARCHIVED_AT, now - timedelta(days=200), now - timedelta(days=31), now - timedelta(days=9)]
    )
    photos = dice.choice([None, [], ["https://example.org/1.jpg"], ["a.jpg", "b.jpg", "c.jpg"]])
    segment = _insert(
        connection,
        "content_segments",
        {
            "thread_id": thread,
            "user_id": dice.choice(users),
            "content_type": kind,
            "sequence_number": sequence_number,
            "text_content": dice.choice(_TEXTS),
            "audio_url": None if kind in ("text", "photo") else dice.choice([None, "a.m4a"]),
            "audio_transcript": None if kind == "text" else dice.choice(_TEXTS),
            "photo_urls": None if kind in ("text", "audio") else photos,
            "is_deleted": dice.choice([False, False, False, True, None]),
            "created_at": created_at,
        },
    )
    for index in dice.sample(range(3), dice.choice([0, 0, 3])):
        _insert(
            connection,
            "photo_narrations",
            {
                "content_segment_id": segment,
                "photo_index": index,
                "narration_text": f"Photo {index}",
                "narration_type": dice.choice([None, "ai", "edited"]),
            },
        )
    for tag in dice.sample(TAGS[:-1], dice.choice([0, 1, 2])):
        for user in dice.sample(users, dice.choice([1, 2])):
            _insert(
                connection,
                "content_tags",
                {"content_segment_id": segment, "tag_name": tag, "tagged_by": user},
            )


def _insert(connection: Connection, table: str, values: Mapping[str, object]) -> UUID:
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return UUID(str(row[0]))
