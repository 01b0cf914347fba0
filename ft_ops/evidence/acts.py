"""What the operations did: their rows of the audit log, and the same as entries of the chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg.rows import class_row

from ft_ops.pg.audit import SYSTEM_USER
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the operations. ``details`` is what the step wrote down of it."""

    id: UUID
    created_at: datetime
    action: str
    table_name: str | None
    new_values: Mapping[str, object] | None

    @property
    def details(self) -> Mapping[str, object]:
        return self.new_values or {}


def acts_since(connection: Connection, since: datetime) -> list[Act]:
    """Every act from ``since`` on, oldest first."""
    with connection.cursor(row_factory=class_row(Act)) as cursor:
        cursor.execute(
            statement("evidence/acts_since"), {"system_user": SYSTEM_USER, "since": since}
        )
        return cursor.fetchall()


def to_entry(act: Act) -> dict[str, object]:
    """An act as the chain writes it."""
    return {
        "id": str(act.id),
        "at": act.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": act.action,
        "table": act.table_name,
        "details": dict(act.details),
    }


def from_entries(entries: Iterable[Mapping[str, object]]) -> list[Act]:
    """The acts of a verified chain, in the order of the chain."""
    return [
        Act(
            UUID(str(entry["id"])),
            datetime.fromisoformat(str(entry["at"])),
            str(entry["action"]),
            str(entry["table"]) if entry["table"] is not None else None,
            details if isinstance(details := entry["details"], dict) else None,
        )
        for entry in entries
    ]
