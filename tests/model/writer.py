"""How the application writes: as a user by row security or as the owner, and tells the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Final, TypeVar
from uuid import UUID, uuid5

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ft_ops.months import Month
from tests.model.oracle import LINKS, SEGMENTS, Key, Oracle, text
from tests.model.place import PARENTS, Place, rows

_NAMESPACE: Final = UUID("00000000-0000-4000-8000-000000000001")
_WORDS: Final = ("once", 'a "quote", a\\slash', "line\nbreak", "ÆØÅ 🎈", "NULL", "{}", " ")


T = TypeVar("T")


class Finding(AssertionError):
    """Something that may never happen."""


class Nothing(Exception):
    """There is nothing to choose from: the step does not apply."""


def chosen(items: Sequence[T], number: int) -> T:
    """One of what there is."""
    if not items:
        raise Nothing
    return items[number % len(items)]


@dataclass(slots=True)
class Writer:
    """Writes in one place. ``transcript`` is that column's name today, None when it is gone."""

    place: Place
    oracle: Oracle
    months: Sequence[Month]
    transcript: str | None = "audio_transcript"
    reaction_tables: list[str] = field(default_factory=list)
    required: dict[str, object] = field(default_factory=dict)
    """Columns that later migrations ask for, each with the value that new rows get."""
    sequences: dict[str, int] = field(default_factory=dict)
    gone_threads: set[str] = field(default_factory=set)
    gone_users: set[str] = field(default_factory=set)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    # --- the people

    def settle(self) -> None:
        """Three families of five users, of whom one belongs to two; five threads in four books."""
        users = [self.new_user() for _ in range(5)]
        families = [self.new_family(owner) for owner in (users[0], users[2], users[4])]
        for family, user in ((0, 1), (1, 3), (1, 1)):
            self.new_member(families[family], users[user])
        books = [self.new_book(families[n], users[(0, 0, 2, 4)[n]]) for n in (0, 0, 1, 2)][:4]
        for book, user in ((0, 0), (0, 0), (1, 0), (2, 2), (3, 4)):
            self.new_thread(books[book], users[user])

    def fill(self) -> None:
        """A segment of each thread in each month; some with children, some linked."""
        made = [
            self.new_segment(month, thread, self.members(thread)[0], n)
            for n, (month, thread) in enumerate(
                (month, thread) for month in self.months for thread in sorted(self.oracle.threads)
            )
        ]
        for n, segment in enumerate(made):
            if n % 3 == 0:
                self.new_child("photo_narrations", segment)
            if n % 4 == 0:
                self.new_child("content_tags", segment)
            if n % 3 == 1:
                self.new_link(segment, made[(n * 7 + 5) % len(made)], 3 * n)

    # --- choosing

    def new_id(self) -> str:
        return str(uuid5(_NAMESPACE, str(next(self._numbers))))

    def new_word(self, number: int) -> str:
        return f"m{next(self._numbers)} {_WORDS[number % len(_WORDS)]}"

    def a_segment(self, number: int) -> str:
        return chosen(self.oracle.of_table(SEGMENTS), number)[1]

    def a_thread(self, number: int) -> str:
        return chosen(sorted(self.oracle.threads), number)

    def members(self, thread: str) -> list[str]:
        family = self.oracle.books[self.oracle.threads[thread]]
        owner = self.oracle.families[family]
        return [owner, *sorted(u for f, u in self.oracle.members if f == family and u != owner)]

    def by_somebody(self, number: int, thread: str | None = None) -> psycopg.Connection:
        """The owner's connection, or the application's for somebody who may see the thread."""
        if number % 3 == 0:
            return self.place.owner
        if thread is None or thread not in self.oracle.threads:
            return self.place.as_user(chosen(sorted(self.oracle.users), number))
        return self.place.as_user(chosen(self.members(thread), number))

    def acting(self, user: str, number: int) -> psycopg.Connection:
        """The owner's connection, or the application's for this user."""
        return self.place.owner if number % 3 == 0 else self.place.as_user(user)

    def thread_of(self, segment: str) -> str:
        return text(self.oracle.rows[SEGMENTS, segment]["thread_id"])

    def refuse_held(self, what: str, keys: Iterable[Key], *, alone: bool = False) -> None:
        """A finding when the database let somebody touch what a hold holds.

        With ``alone`` only these rows were touched, and not what belongs to them.
        """
        touched = set(keys) if alone else self.oracle.below(keys)
        held = touched & self.oracle.held_keys()
        if held:
            raise Finding(f"{what} was granted although held: {min(held)}")

    # --- rows

    def write_row(
        self, connection: psycopg.Connection, query: str, arguments: Sequence[Any], table: str
    ) -> str | None:
        """Run a statement that returns its row, and tell the oracle; the row's id."""
        returned = rows(connection, sql.SQL(query), arguments)
        for values in returned:
            self.oracle.write(table, values)
        return text(returned[0]["id"]) if returned else None

    def new_segment(
        self,
        month: Month,
        thread: str,
        author: str,
        number: int,
        *,
        sequence: int | None = None,
        segment: str | None = None,
        connection: psycopg.Connection | None = None,
    ) -> str:
        if sequence is None:
            sequence = self.sequences.get(thread, 0) + 1
        kind = ("text", "audio", "photo", "mixed")[number % 4]
        columns: dict[str, object] = {
            "id": segment or self.new_id(),
            "thread_id": thread,
            "user_id": author,
            "content_type": kind,
            "sequence_number": sequence,
            "text_content": self.new_word(number),
            "photo_urls": None if kind == "text" else ["a,b", None, 'c"'][: number % 4],
            "created_at": month.start + timedelta(seconds=1 + number * 86_000 % 2_400_000),
            "metadata": Jsonb({"n": 1.10, "word": _WORDS[number % len(_WORDS)]}),
        }
        columns |= self.required
        if self.transcript and number % 2:
            columns[self.transcript] = f"heard {number}"
        query = sql.SQL("INSERT INTO content_segments ({}) VALUES ({}) RETURNING *").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        )
        [values] = rows(connection or self.place.owner, query, list(columns.values()))
        made = text(values["id"])
        if (SEGMENTS, made) in self.oracle.rows:
            raise Finding(f"the id of segment {made}, which is in the archive, was given away")
        self.oracle.write(SEGMENTS, values)
        self.oracle.months[made] = month
        self.sequences[thread] = max(sequence, self.sequences.get(thread, 0))
        return made

    def new_child(
        self, table: str, segment: str, author: str | None = None, number: int = 0
    ) -> str | None:
        author = author or self.members(self.thread_of(segment))[0]
        columns: dict[str, object] = {"id": self.new_id(), "content_segment_id": segment}
        if table == "content_tags":
            columns |= {"tag_name": self.new_word(number), "tagged_by": author}
        else:
            columns |= {
                "photo_index": next(self._numbers),
                "narration_text": self.new_word(number),
                "confidence_score": 0.1,
                "created_by": author,
            }
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        query = f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING *"
        return self.write_row(self.acting(author, number), query, list(columns.values()), table)

    def new_link(self, source: str, target: str, number: int) -> None:
        kind = ("reply", "reference", "continuation")[number % 7 % 3]
        author = chosen(self.members(self.thread_of(source)), number)
        self.write_row(
            self.acting(author, number),
            "INSERT INTO content_links (id, source_segment_id, target_segment_id, link_type,"
            " created_by, metadata) VALUES (%s, %s, %s, %s, %s, %s) RETURNING *",
            (
                self.new_id(),
                source,
                target,
                kind,
                author,
                Jsonb({"m": self.new_word(number)}),
            ),
            LINKS,
        )

    def update_segment(
        self, connection: psycopg.Connection, segment: str, changes: str, *arguments: object
    ) -> bool:
        """Whether the segment was found, in either of the two tables."""
        for parent in PARENTS:
            query = f"UPDATE {parent} SET {changes} WHERE id = %s RETURNING *"
            if self.write_row(connection, query, (*arguments, segment), SEGMENTS):
                return True
        return False

    # --- people

    def new_user(self) -> str:
        user = self.new_id()
        self.place.owner.execute(
            "INSERT INTO users (id, clerk_id, email) VALUES (%s, %s, %s)",
            (user, f"clerk {user}", f"{user}@example.org"),
        )
        self.oracle.users.add(user)
        return user

    def new_family(self, owner: str) -> str:
        family = self.new_id()
        self.place.owner.execute(
            "INSERT INTO families (id, name, owner_id) VALUES (%s, 'family', %s)", (family, owner)
        )
        self.oracle.families[family] = owner
        return family

    def new_member(self, family: str, user: str) -> None:
        self.place.owner.execute(
            "INSERT INTO family_members (family_id, user_id) VALUES (%s, %s)", (family, user)
        )
        self.oracle.members.add((family, user))

    def new_book(self, family: str, user: str) -> str:
        book = self.new_id()
        self.place.owner.execute(
            "INSERT INTO memory_books (id, family_id, title, created_by)"
            " VALUES (%s, %s, 'book', %s)",
            (book, family, user),
        )
        self.oracle.books[book] = family
        return book

    def new_thread(self, book: str, user: str, thread: str | None = None) -> str:
        thread = thread or self.new_id()
        self.place.owner.execute(
            "INSERT INTO threads (id, memory_book_id, started_by) VALUES (%s, %s, %s)",
            (thread, book, user),
        )
        self.oracle.threads[thread] = book
        return thread

    def delete_row(self, connection: psycopg.Connection, table: str, row: str) -> bool:
        query = sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(table))
        return connection.execute(query, (row,)).rowcount > 0
