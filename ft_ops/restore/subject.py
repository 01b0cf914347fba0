"""What is brought back, and what somebody has decided about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from ft_ops.errors import Refused

Kind = Literal["family", "book", "thread", "user"]

ROOTS: Final[Mapping[Kind, str]] = {
    "family": "public.families",
    "book": "public.memory_books",
    "thread": "public.threads",
    "user": "public.users",
}
"""The table that a subject is a row of."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One family, book, thread or user, by its id."""

    kind: Kind
    id: UUID

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def root(self) -> str:
        return ROOTS[self.kind]


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a person has decided before anything is written.

    ``mistakes`` are the ids of what was deleted by mistake: their tombstones are withdrawn, with
    those of what went in the same transaction. ``reason`` is required with them.
    ``removed_members``: memberships and invitations that were taken away or changed since count
    like all other rows; without it they stay as they are.
    """

    overwrite_changed: bool = False
    mistakes: frozenset[UUID] = field(default_factory=frozenset)
    reason: str = ""
    removed_members: bool = False


def one_subject(
    *,
    family: UUID | None = None,
    book: UUID | None = None,
    thread: UUID | None = None,
    user: UUID | None = None,
) -> Subject:
    """The one that was named; Refused when it is none or several."""
    named: dict[Kind, UUID | None] = {
        "family": family,
        "book": book,
        "thread": thread,
        "user": user,
    }
    found = [Subject(kind, key) for kind, key in named.items() if key is not None]
    if len(found) != 1:
        raise Refused(
            "restore",
            cause=f"it needs exactly one family, book, thread or user, and got {len(found)}",
            next_step="name the smallest of them that holds what is missing",
        )
    return found[0]
