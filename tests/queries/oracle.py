"""What the product queries must answer, worked out in Python from plain copies of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row

from ft_ops.pg.connect import Connection

Row = dict[str, object]
T = TypeVar("T")


@dataclass(frozen=True)
class User:
    id: UUID
    display_name: str | None
    avatar_url: str | None
    last_login_at: datetime | None


@dataclass(frozen=True)
class Family:
    id: UUID
    name: str
    owner_id: UUID
    storage_limit_bytes: int


@dataclass(frozen=True)
class Member:
    family_id: UUID
    user_id: UUID
    role: str
    is_active: bool | None


@dataclass(frozen=True)
class Book:
    id: UUID
    family_id: UUID
    title: str
    description: str | None
    cover_image_url: str | None
    created_by: UUID
    is_collaborative: bool | None
    privacy: str | None
    last_activity_at: datetime | None
    created_at: datetime
    updated_at: datetime | None
    metadata: object


@dataclass(frozen=True)
class Thread:
    id: UUID
    memory_book_id: UUID
    title: str | None
    started_by: UUID
    participant_count: int | None
    segment_count: int | None
    last_segment_at: datetime | None
    is_locked: bool | None
    created_at: datetime | None
    updated_at: datetime | None
    metadata: object


@dataclass(frozen=True)
class Segment:
    id: UUID
    thread_id: UUID
    user_id: UUID
    content_type: str
    sequence_number: int
    text_content: str | None
    audio_url: str | None
    audio_duration_seconds: int | None
    audio_transcript: str | None
    photo_urls: list[str] | None
    is_edited: bool | None
    edited_at: datetime | None
    is_deleted: bool | None
    deleted_at: datetime | None
    created_at: datetime
    view_count: int | None
    reaction_count: int | None
    metadata: object


@dataclass(frozen=True)
class Narration:
    content_segment_id: UUID
    photo_index: int
    narration_text: str
    narration_type: str | None


@dataclass(frozen=True)
class Tag:
    content_segment_id: UUID
    tag_name: str


@dataclass(frozen=True)
class Tables:
    """The rows that somebody sees. ``as_json`` is PostgreSQL's JSON of each segment's row."""

    users: Sequence[User]
    families: Sequence[Family]
    members: Sequence[Member]
    books: Sequence[Book]
    threads: Sequence[Thread]
    segments: Sequence[Segment]
    narrations: Sequence[Narration]
    tags: Sequence[Tag]
    as_json: dict[UUID, Row]

    def seen_by(self, user: UUID) -> Tables:
        """What is left for ``user``: the content of the families where he is active or owner."""
        families = {f.id for f in self.families if f.owner_id == user} | {
            m.family_id for m in self.members if m.user_id == user and m.is_active
        }
        fellows = {user} | {m.user_id for m in self.members if m.family_id in families}
        fellows |= {f.owner_id for f in self.families if f.id in families}
        books = [b for b in self.books if b.family_id in families]
        threads = [t for t in self.threads if t.memory_book_id in {b.id for b in books}]
        return replace(
            self,
            users=[u for u in self.users if u.id in fellows],
            families=[f for f in self.families if f.id in families],
            members=[m for m in self.members if m.family_id in families or m.user_id == user],
            books=books,
            threads=threads,
            segments=[s for s in self.segments if s.thread_id in {t.id for t in threads}],
        )

    def user(self, user: UUID) -> User:
        """The user, or one without name, picture and login who stands for an invisible one."""
        unknown = User(user, None, None, None)
        return next((u for u in self.users if u.id == user), unknown)

    def content_of(self, books: Sequence[Book]) -> list[Segment]:
        """The segments of these books that are not deleted."""
        threads = {t.id for t in self.threads if t.memory_book_id in {b.id for b in books}}
        return [s for s in self.segments if s.thread_id in threads and not s.is_deleted]


def read_tables(connection: Connection) -> Tables:
    """Copy the base tables as they are; ``connection`` sees every row."""
    return Tables(
        users=_rows(connection, "users", User),
        families=_rows(connection, "families", Family),
        members=_rows(connection, "family_members", Member),
        books=_rows(connection, "memory_books", Book),
        threads=_rows(connection, "threads", Thread),
        segments=_rows(connection, "content_segments", Segment),
        narrations=_rows(connection, "photo_narrations", Narration),
        tags=_rows(connection, "content_tags", Tag),
        as_json={
            UUID(row["id"]): row
            for (row,) in connection.execute("SELECT to_json(cs) FROM content_segments AS cs")
        },
    )


def _rows(connection: Connection, table: str, kind: type[T]) -> list[T]:
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
    with connection.cursor(row_factory=dict_row) as cursor:
        return [kind(**{name: row[name] for name in names}) for row in cursor.execute(query)]


def _newest_first(books: Sequence[Book]) -> list[Book]:
    by_id = sorted(books, key=lambda book: book.id)
    return sorted(by_id, key=lambda book: book.created_at, reverse=True)


def family_memory_books(tables: Tables, family: UUID) -> list[Row]:
    active: list[tuple[datetime, Row]] = []
    empty: list[Row] = []
    for book in _newest_first(tables.books):
        if book.family_id != family or book.privacy == "private":
            continue
        content = tables.content_of([book])
        last_activity = max((s.created_at for s in content), default=None)
        counted = {
            "thread_count": sum(t.memory_book_id == book.id for t in tables.threads),
            "segment_count": len(content),
            "contributor_count": len({s.user_id for s in content}),
            "last_activity": last_activity,
            "photo_count": sum(len(s.photo_urls or []) for s in content),
            "audio_count": sum(s.audio_url is not None for s in content),
            "created_by_name": tables.user(book.created_by).display_name,
        }
        if last_activity is None:
            empty.append(asdict(book) | counted)
        else:
            active.append((last_activity, asdict(book) | counted))
    active.sort(key=lambda entry: entry[0], reverse=True)
    return [row for _, row in active] + empty


def thread_with_content(tables: Tables, thread: UUID) -> list[Row]:
    content = sorted(
        (s for s in tables.segments if s.thread_id == thread and not s.is_deleted),
        key=lambda s: s.sequence_number,
    )
    segments = []
    for segment in content:
        author = tables.user(segment.user_id)
        narrations = [
            {"index": n.photo_index, "narration": n.narration_text, "type": n.narration_type}
            for n in sorted(tables.narrations, key=lambda n: n.photo_index)
            if n.content_segment_id == segment.id
        ]
        segments.append(
            tables.as_json[segment.id]
            | {
                "display_name": author.display_name,
                "avatar_url": author.avatar_url,
                "photo_narrations": narrations or None,
            }
        )
    return [asdict(t) | {"segments": segments} for t in tables.threads if t.id == thread]


def search_by_tags(tables: Tables, user: UUID, wanted: Sequence[str]) -> list[Row]:
    families = {m.family_id for m in tables.members if m.user_id == user and m.is_active}
    answer = []
    for book in tables.books:
        if book.family_id not in families:
            continue
        for segment in tables.content_of([book]):
            tags = {t.tag_name for t in tables.tags if t.content_segment_id == segment.id}
            if tags.isdisjoint(wanted):
                continue
            (thread,) = (t for t in tables.threads if t.id == segment.thread_id)
            found = {
                "memory_book_title": book.title,
                "thread_title": thread.title,
                "tags": sorted(tags),
            }
            answer.append((segment, asdict(segment) | found))
    answer.sort(key=lambda entry: entry[0].created_at, reverse=True)
    return [row for _, row in answer[:50]]


def family_storage(tables: Tables, family: UUID) -> list[Row]:
    breakdown: list[tuple[int, UUID, Row]] = []
    for book in tables.books:
        content = tables.content_of([book])
        if book.family_id != family or not content:
            continue
        text_bytes = sum(len((s.text_content or "").encode()) for s in content)
        transcript_bytes = sum(len((s.audio_transcript or "").encode()) for s in content)
        audio_count = sum(s.audio_url is not None for s in content)
        photo_count = sum(len(s.photo_urls or []) for s in content)
        total_bytes = text_bytes + transcript_bytes + audio_count * 2**20 + photo_count * 2**19
        row: Row = {
            "memory_book_id": str(book.id),
            "title": book.title,
            "segment_count": len(content),
            "text_bytes": text_bytes,
            "audio_count": audio_count,
            "photo_count": photo_count,
            "total_bytes": total_bytes,
        }
        breakdown.append((-total_bytes, book.id, row))
    return [
        {
            "id": f.id,
            "name": f.name,
            "storage_limit_bytes": f.storage_limit_bytes,
            "total_used_bytes": -sum(entry[0] for entry in breakdown),
            "breakdown": [row for *_, row in sorted(breakdown, key=lambda entry: entry[:2])],
        }
        for f in tables.families
        if f.id == family
    ]


def active_members(tables: Tables, family: UUID, now: datetime) -> list[Row]:
    since = now - timedelta(days=30)
    answer = []
    for member in tables.members:
        login = tables.user(member.user_id).last_login_at
        if member.family_id != family or not member.is_active or login is None or login <= since:
            continue
        recent = [
            s.created_at
            for s in tables.content_of([b for b in tables.books if b.family_id == family])
            if s.user_id == member.user_id and s.created_at > since
        ]
        row: Row = {
            "family_id": family,
            "user_id": member.user_id,
            "role": member.role,
            "display_name": tables.user(member.user_id).display_name,
            "last_login_at": login,
            "recent_segments": len(recent),
            "last_contribution": max(recent, default=None),
        }
        answer.append((login, member.user_id, row))
    answer.sort(key=lambda entry: entry[1])
    answer.sort(key=lambda entry: entry[0], reverse=True)
    return [row for *_, row in answer]
