"""The product queries: what each needs, and which screens the specification sets targets for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ft_ops.settings import Settings


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one visitor asks for: a member of a family, one of its threads, some of its tags."""

    thread_id: UUID
    family_id: UUID
    user_id: UUID
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProductQuery:
    """One statement of ``sql/queries``.

    ``takes`` are the fields of Parameters that become $1, $2, …. ``needs`` are the columns that an
    index must lead with, or the query reads whole tables. A query of ``recent_days`` has no
    business in partitions of content_segments that are older.
    """

    name: str
    takes: tuple[str, ...]
    needs: tuple[tuple[str, str], ...]
    recent_days: int | None = None

    def arguments(self, parameters: Parameters) -> list[object]:
        """The values of $1, $2, … for these parameters."""
        values = (getattr(parameters, name) for name in self.takes)
        return [list(value) if isinstance(value, tuple) else value for value in values]

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(table for table, _ in self.needs))


@dataclass(frozen=True, slots=True)
class Screen:
    """What a visitor waits for: one query or several, and the p95 that they may take together."""

    name: str
    queries: tuple[str, ...]
    target_ms: float


_BOOKS_OF_FAMILY: Final = (
    ("memory_books", "family_id"),
    ("threads", "memory_book_id"),
    ("content_segment_keys", "thread_id"),
    ("content_segments", "id"),
)

PRODUCT_QUERIES: Final = {
    query.name: query
    for query in (
        ProductQuery(
            "thread_with_content",
            ("thread_id",),
            (
                ("threads", "id"),
                ("content_segment_keys", "thread_id"),
                ("content_segments", "id"),
                ("photo_narrations", "content_segment_id"),
                ("users", "id"),
            ),
        ),
        ProductQuery("family_memory_books", ("family_id",), _BOOKS_OF_FAMILY),
        ProductQuery(
            "search_by_tags",
            ("user_id", "tags"),
            (
                ("family_members", "user_id"),
                ("memory_books", "family_id"),
                ("threads", "memory_book_id"),
                ("content_segment_keys", "thread_id"),
                ("content_segment_keys", "id"),
                ("content_tags", "content_segment_id"),
                ("content_segments", "id"),
            ),
        ),
        ProductQuery("family_storage", ("family_id",), _BOOKS_OF_FAMILY),
        ProductQuery(
            "active_members",
            ("family_id",),
            (
                ("family_members", "family_id"),
                ("users", "id"),
                ("content_segments", "user_id"),
                ("threads", "id"),
                ("memory_books", "id"),
            ),
            recent_days=30,
        ),
    )
}


def screens(settings: Settings) -> tuple[Screen, ...]:
    """The specification's four targets; the dashboard shows two queries' answers."""
    return (
        Screen("thread", ("thread_with_content",), settings.target_thread_ms),
        Screen("book list", ("family_memory_books",), settings.target_book_list_ms),
        Screen("search", ("search_by_tags",), settings.target_search_ms),
        Screen(
            "family dashboard", ("family_storage", "active_members"), settings.target_dashboard_ms
        ),
    )
