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
    like all other rows; without it they stay as they are. ``agreed`` is the digest of the plan that
    was agreed to; with it nothing but that plan is applied.
    """

    overwrite_changed: bool = False
    mistakes: frozenset[UUID] = field(default_factory=frozenset)
    reason: str = ""
    removed_members: bool = False
    agreed: str = ""

    def require_agreement(self) -> None:
        """Refused where what others wrote or deleted since is undone and no plan was agreed to."""
        if (self.overwrite_changed or self.mistakes) and not self.agreed:
            raise Refused(
                "restore",
                cause="it would undo what was changed or deleted since the copy, and names no plan",
                next_step="only compare first: a dry run, or the command without --apply. Read its "
                "plan, and name the digest at its end: `plan` of the launch config, or --plan",
            )


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
