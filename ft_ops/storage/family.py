"""One family's storage, book by book, counted from its content at the moment of asking."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg import RawCursor
from pydantic import TypeAdapter

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class BookUsage:
    """One book that holds content; ``total_bytes`` has transcripts and the estimates in it."""

    memory_book_id: UUID
    title: str
    segment_count: int
    text_bytes: int
    audio_count: int
    photo_count: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class FamilyUsage:
    """A family's books, the largest first. A limit of None is no limit."""

    family_id: UUID
    name: str
    limit_bytes: int | None
    used_bytes: int
    books: tuple[BookUsage, ...]


_BOOKS = TypeAdapter(tuple[BookUsage, ...])


def family_usage(connection: Connection, family_id: UUID) -> FamilyUsage:
    """Run the product's query `family_storage`; an OpsError when there is no such family."""
    row = RawCursor(connection).execute(statement("queries/family_storage"), [family_id]).fetchone()
    if row is None:
        raise OpsError(
            f"family {family_id}",
            cause="there is no family of that id",
            next_step="look its id up in families",
        )
    found, name, limit, used, breakdown = row
    return FamilyUsage(found, name, limit, used, _BOOKS.validate_python(breakdown))
