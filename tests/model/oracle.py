"""What must be true of the content, in a few sets and dicts.

The oracle is told what the application was granted and which steps ran. It knows nothing of
digests, generations, ledgers or objects: only that a row lives until the application deletes it,
that it can be away only after its very bytes were exported and a removal began, and who may see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ft_ops.months import Month

Key: TypeAlias = tuple[str, str]
"""Table and id."""

Values: TypeAlias = Mapping[str, bytes | None]
"""Column → the server's text of it."""

SEGMENTS: Final = "content_segments"
LINKS: Final = "content_links"


@dataclass(slots=True)
class Child:
    """A table whose rows belong to others: by which columns to which table, and its author."""

    parent: str
    ends: tuple[str, ...]
    author: str | None


def _children() -> dict[str, Child]:
    return {
        "photo_narrations": Child(SEGMENTS, ("content_segment_id",), "created_by"),
        "content_tags": Child(SEGMENTS, ("content_segment_id",), "tagged_by"),
        LINKS: Child(SEGMENTS, ("source_segment_id", "target_segment_id"), "created_by"),
    }


@dataclass(slots=True)
class Oracle:
    """Who there is, which rows live, and where each of them may be."""

    users: set[str] = field(default_factory=set)
    families: dict[str, str] = field(default_factory=dict)
    """Family → owner."""
    members: set[tuple[str, str]] = field(default_factory=set)
    """Family, user."""
    books: dict[str, str] = field(default_factory=dict)
    threads: dict[str, str] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=_children)
    rows: dict[Key, Values] = field(default_factory=dict)
    """The living."""
    months: dict[str, Month] = field(default_factory=dict)
    """Segment → month."""
    gone: dict[Key, list[Values]] = field(default_factory=dict)
    """What was deleted, as it was: never to be readable again."""
    exported: dict[Key, set[frozenset[tuple[str, bytes | None]]]] = field(default_factory=dict)
    """Versions of rows that an export may have seen."""
    away: set[Key] = field(default_factory=set)
    """Living rows that need not be readable now."""
    beside: set[Key] = field(default_factory=set)
    """What the archive alone has since a recovery, although the segments that it belongs to may be
    readable: it comes back with their month."""
    limbo: dict[Month, set[Key]] = field(default_factory=dict)
    """Segments on which a step was at work that did not end: they need not be readable either."""
    held: dict[int, frozenset[Key]] = field(default_factory=dict)
    """Hold → what it held when it was placed."""

    # --- who owns what

    def segments_of(self, key: Key) -> list[Key]:
        """The segments that a row belongs to; a segment is its own."""
        table, _ = key
        if table == SEGMENTS:
            return [key]
        child, values = self.children[table], self.rows[key]
        ends = [(child.parent, text(values[column])) for column in child.ends]
        return [s for end in ends if end in self.rows for s in self.segments_of(end)]

    def months_of(self, key: Key) -> set[Month]:
        return {self.months[segment] for _, segment in self.segments_of(key)}

    def family_of(self, segment: Key) -> str | None:
        book = self.threads.get(text(self.rows[segment]["thread_id"]))
        return self.books.get(book) if book else None

    def families_of(self, key: Key) -> set[str | None]:
        return {self.family_of(segment) for segment in self.segments_of(key)}

    def author_of(self, key: Key) -> str | None:
        column = "user_id" if key[0] == SEGMENTS else self.children[key[0]].author
        value = self.rows[key].get(column) if column else None
        return text(value) if value is not None else None

    def families_read_by(self, user: str) -> set[str]:
        owned = {family for family, owner in self.families.items() if owner == user}
        return owned | {family for family, member in self.members if member == user}

    def of_table(self, table: str) -> list[Key]:
        return sorted(key for key in self.rows if key[0] == table)

    def of_month(self, month: Month) -> list[Key]:
        """The rows that belong to a month's segments, these first."""
        return sorted(
            (key for key in self.rows if month in self.months_of(key)),
            key=lambda key: (key[0] != SEGMENTS, key),
        )

    def held_by(self, kind: str, subject: Any) -> set[Key]:
        """What a hold on a subject holds at least."""
        if kind == "month":
            return set(self.of_month(subject))
        if kind == "user":
            return {key for key in self.rows if self.author_of(key) == subject}
        if kind == "family":
            return {key for key in self.rows if subject in self.families_of(key)}
        threads = {t for t, b in self.threads.items() if subject in (t, b)}
        return {k for k in self.rows if self.in_threads(threads) & set(self.segments_of(k))}

    def held_keys(self) -> set[Key]:
        return {key for keys in self.held.values() for key in keys}

    def below(self, keys: Iterable[Key]) -> set[Key]:
        """These rows, and all that goes when they are deleted."""
        found = set(keys)
        while True:
            more = {
                key
                for key, values in self.rows.items()
                if key[0] in self.children and key not in found
                for column in self.children[key[0]].ends
                if (self.children[key[0]].parent, text(values[column])) in found
            }
            if not more:
                return found
            found |= more

    # --- what the application did

    def write(self, table: str, values: Values) -> None:
        """A row as the database returned it to its writer."""
        self.rows[table, text(values["id"])] = values

    def delete(self, keys: Iterable[Key]) -> None:
        """Rows are deleted, with all that belongs to them."""
        for key in self.below(keys):
            self.gone.setdefault(key, []).append(self.rows.pop(key))
            self.away.discard(key)
            self.beside.discard(key)
            self.exported.pop(key, None)

    def delete_thread(self, thread: str) -> None:
        self.delete(self.in_threads({thread}))
        self.threads.pop(thread)

    def delete_book(self, book: str) -> None:
        for thread in [t for t, b in self.threads.items() if b == book]:
            self.delete_thread(thread)
        self.books.pop(book)

    def delete_family(self, family: str) -> None:
        for book in [b for b, f in self.books.items() if f == family]:
            self.delete_book(book)
        self.members = {(f, u) for f, u in self.members if f != family}
        self.families.pop(family)

    def delete_user(self, user: str) -> None:
        self.delete([key for key in self.rows if self.author_of(key) == user])
        self.members = {(f, u) for f, u in self.members if u != user}
        self.users.discard(user)

    def in_threads(self, threads: set[str]) -> set[Key]:
        """The segments of some threads."""
        return {
            key
            for key, values in self.rows.items()
            if key[0] == SEGMENTS and text(values["thread_id"]) in threads
        }

    def change_schema(self, table: str, change: Callable[[Values], Values]) -> None:
        """A migration changes the rows of a table, wherever they are."""
        for key in [key for key in self.rows if key[0] == table]:
            self.rows[key] = change(self.rows[key])
            self.exported[key] = {
                frozenset(change(dict(version)).items()) for version in self.exported.get(key, ())
            }

    # --- what the operations did

    def export(self, month: Month) -> None:
        """An export of the month may see its rows as they are now."""
        for key in self.of_month(month):
            self.exported.setdefault(key, set()).add(frozenset(self.rows[key].items()))

    def may_leave(self, month: Month) -> None:
        """A removal of the month begins: what was exported as it is now may go, unless it is held.

        A child whose last version was exported goes with its segment.
        """
        held = self.held_keys()
        self.away |= {k for k in self.of_month(month) if self.was_exported(k) and k not in held}

    def comes_back(self, month: Month, family: str | None = None) -> None:
        """A thaw has loaded the month, or one family of it."""
        self.away -= {
            key
            for key in self.of_month(month)
            if key[0] == SEGMENTS and family in {None, self.family_of(key)}
        }
        if family is None:
            self.beside -= {key for key in self.beside if self.months_of(key) == {month}}

    def is_seen(self, readable: Iterable[Key]) -> None:
        """What can be read has not left: from now on it stays until a removal begins."""
        self.away -= set(readable)
        self.beside -= set(readable)

    def was_exported(self, key: Key) -> bool:
        return frozenset(self.rows[key].items()) in self.exported.get(key, set())

    # --- what must be true now

    def must_be_readable(self) -> Iterator[Key]:
        in_limbo = {key for keys in self.limbo.values() for key in keys}
        for key in self.rows:
            segments = self.segments_of(key)
            if not in_limbo.isdisjoint(segments):
                continue
            leaves = not self.away.isdisjoint(segments)
            if key[0] == SEGMENTS and leaves:
                continue
            if key in self.beside:
                continue
            # What came after the export keeps its segment in the database.
            if key[0] != SEGMENTS and leaves and self.was_exported(key):
                continue
            yield key

    def may_be_read_by(self, user: str, keys: Iterable[Key]) -> set[Key]:
        """Of rows that are readable, those that row security shows to a user."""
        mine = self.families_read_by(user)
        return {key for key in keys if self.families_of(key) <= mine}


def text(value: bytes | None) -> str:
    """The text of a column that is not null."""
    assert value is not None
    return value.decode()
