"""Two families with everything that a family has, and a copy of their database to restore from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.connect import Connection, connect
from ft_ops.restore import Decisions, RestorePlan, Side, Subject, restore_subject
from ft_ops.restore.subject import Kind
from tests.fixtures.postgres import Database, created

MONTHS = (Month(2025, 1), Month(2025, 2))

OF_FAMILY = {
    "families": "r.id = %(family)s",
    "family_members": "r.family_id = %(family)s",
    "family_invites": "r.family_id = %(family)s",
    "memory_books": "r.family_id = %(family)s",
    "threads": "r.memory_book_id IN (SELECT id FROM memory_books WHERE family_id = %(family)s)",
    "content_segments": "r.thread_id IN ({threads})",
    "archived_content_segments": "r.thread_id IN ({threads})",
    "content_segment_keys": "r.thread_id IN ({threads})",
    "photo_narrations": "r.content_segment_id IN ({segments})",
    "content_tags": "r.content_segment_id IN ({segments})",
    "content_links": "r.source_segment_id IN ({segments})",
}
"""What is one family's, table by table, written down here once more and by hand."""

THREADS = (
    "SELECT t.id FROM threads AS t JOIN memory_books AS b ON b.id = t.memory_book_id"
    " WHERE b.family_id = %(family)s"
)
SEGMENTS = f"SELECT k.id FROM content_segment_keys AS k WHERE k.thread_id IN ({THREADS})"
KEPT_BY_THE_DATABASE = ("updated_at",)

Family = dict[str, dict[str, dict[str, object]]]
"""Table → id → the row, without what the database keeps by itself."""


@dataclass(slots=True)
class World:
    """The live database, with what was put into it."""

    database: Database
    connection: Connection
    families: list[UUID] = field(default_factory=list)
    users: list[UUID] = field(default_factory=list)
    books: list[UUID] = field(default_factory=list)
    threads: list[UUID] = field(default_factory=list)
    segments: list[UUID] = field(default_factory=list)

    def fill(self) -> None:
        """Two families of two users, two books each, two threads each, four segments each."""
        ensure_months(self.connection, "content_segments", MONTHS)
        for _ in range(2):
            owner, member = self.user(), self.user()
            family = self.insert("families", name="family", owner_id=owner)
            self.families.append(family)
            for user, role in ((owner, "owner"), (member, "editor")):
                self.insert(
                    "family_members", family_id=family, user_id=user, role=role, invited_by=owner
                )
            self.insert(
                "family_invites",
                family_id=family,
                email="c@example.org",
                invited_by=owner,
                invite_code=str(uuid4()),
                expires_at="2030-01-01Z",
                accepted_by=member,
            )
            for _ in range(2):
                self.book(family, owner, member)

    def user(self) -> UUID:
        name = uuid4().hex[:8]
        user = self.insert("users", clerk_id=f"clerk_{name}", email=f"{name}@example.org")
        self.users.append(user)
        return user

    def book(self, family: UUID, owner: UUID, member: UUID) -> UUID:
        book = self.insert("memory_books", family_id=family, title="book", created_by=owner)
        self.books.append(book)
        for _ in range(2):
            thread = self.insert("threads", memory_book_id=book, started_by=member, title="t")
            self.threads.append(thread)
            made = [self.segment(thread, (owner, member)[n % 2], n) for n in range(4)]
            self.link(made[0], made[3], owner)
        return book

    def segment(self, thread: UUID, author: UUID, number: int) -> UUID:
        """One with a narration and a tag."""
        segment = self.insert(
            "content_segments",
            thread_id=thread,
            user_id=author,
            content_type="photo",
            sequence_number=number,
            text_content=f"text {number}",
            photo_urls=[f"https://media.example.org/{thread}/{number}.jpg"],
            created_at=MONTHS[number % 2].start,
        )
        self.segments.append(segment)
        self.insert(
            "photo_narrations",
            content_segment_id=segment,
            photo_index=0,
            narration_text="a lake",
            created_by=author,
            confidence_score=0.1,
        )
        self.insert("content_tags", content_segment_id=segment, tag_name="summer", tagged_by=author)
        return segment

    def link(self, source: UUID, target: UUID, user: UUID) -> UUID:
        return self.insert(
            "content_links",
            source_segment_id=source,
            target_segment_id=target,
            link_type="reply",
            created_by=user,
        )

    def insert(self, table: str, **values: object) -> UUID:
        row = self.connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder(name) for name in values),
            ),
            values,
        ).fetchone()
        assert row is not None
        return UUID(str(row[0]))

    def family(self, number: int = 0, *, at: Connection | None = None) -> Family:
        """Everything of one family, as Python values."""
        found: Family = {}
        for table, condition in OF_FAMILY.items():
            where = condition.format(threads=THREADS, segments=SEGMENTS)
            rows = (at or self.connection).execute(
                f"SELECT r.id::text, to_jsonb(r) FROM {table} AS r WHERE {where}",
                {"family": self.families[number]},
            )
            found[table] = {
                key: {k: v for k, v in row.items() if k not in KEPT_BY_THE_DATABASE}
                for key, row in rows
            }
        return found

    @contextmanager
    def copied(self) -> Iterator[Connection]:
        """Another database with the rows of this moment; open for the block."""
        copy = Database(f"{self.database.name}_copy", self.database.server_url)
        self.connection.close()
        with created(copy, sql.Identifier(self.database.name)):
            self.connection = connect(self.database.url, application="tests")
            with connect(copy.url, application="tests") as opened:
                yield opened

    def restore(
        self,
        copy: Connection,
        *,
        kind: Kind = "family",
        subject: UUID | None = None,
        apply: bool = True,
        decisions: Decisions | None = None,
        live: Connection | None = None,
    ) -> RestorePlan:
        return restore_subject(
            Side.of(copy),
            live or self.connection,
            Subject(kind, subject or self.families[0]),
            source="a copy of the tests",
            as_of=None,
            decisions=decisions or Decisions(),
            apply=apply,
            run_id="tests",
        )

    def execute(self, query: str, *values: object) -> int:
        return self.connection.execute(query, values).rowcount

    def count(self, relation: str) -> int:
        row = self.connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*relation.split(".")))
        ).fetchone()
        assert row is not None
        return int(row[0])


def as_administrator(database: Database, *queries: str) -> None:
    """What no role of the project may do."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        for query in queries:
            connection.execute(query)
