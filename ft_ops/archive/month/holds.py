"""Legal holds: what may not be purged or erased, by month, family or user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.archive.month.content import archived_name
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.catalog import table_exists
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class LegalHold:
    """One hold on exactly one month, family or user."""

    id: int
    month: date | None
    family_id: UUID | None
    user_id: UUID | None
    reason: str
    placed_by: str
    placed_at: datetime
    released_at: datetime | None

    @property
    def subject(self) -> str:
        if self.month is not None:
            return f"month {Month.of(self.month)}"
        return f"family {self.family_id}" if self.family_id else f"user {self.user_id}"

    def __str__(self) -> str:
        return f"hold {self.id} on {self.subject} ({self.reason})"


def add_hold(
    connection: Connection,
    *,
    month: Month | None = None,
    family_id: UUID | None = None,
    user_id: UUID | None = None,
    reason: str,
) -> LegalHold:
    """Place a hold on exactly one month, family or user; it counts from this moment on."""
    if not reason.strip() or [month, family_id, user_id].count(None) != 2:
        raise Refused(
            "legal hold",
            cause="it needs exactly one month, family or user, and a reason",
            next_step="say what is held, and why",
        )
    values = {
        "month": month and month.first_day,
        "family_id": family_id,
        "user_id": user_id,
        "reason": reason.strip(),
    }
    with connection.transaction():
        with connection.cursor(row_factory=class_row(LegalHold)) as cursor:
            hold = cursor.execute(statement("archive/add_hold"), values).fetchone()
        assert hold is not None
        write_audit(
            connection, "hold.add", "ops.legal_holds", {"hold": hold.id, "subject": hold.subject}
        )
    return hold


def release_hold(connection: Connection, hold_id: int, reason: str) -> LegalHold:
    """End a hold; it stays listed, with who released it and why."""
    with connection.transaction():
        with connection.cursor(row_factory=class_row(LegalHold)) as cursor:
            hold = cursor.execute(
                statement("archive/release_hold"), {"id": hold_id, "reason": reason}
            ).fetchone()
        if hold is None:
            raise Refused(
                f"legal hold {hold_id}",
                cause="there is no such hold, or it was released before",
                next_step="see them with: ft-ops hold list",
            )
        write_audit(
            connection,
            "hold.release",
            "ops.legal_holds",
            {"hold": hold.id, "subject": hold.subject, "reason": reason},
        )
    return hold


def list_holds(connection: Connection) -> list[LegalHold]:
    """Every hold, released ones too, oldest first."""
    with connection.cursor(row_factory=class_row(LegalHold)) as cursor:
        return cursor.execute(statement("archive/list_holds")).fetchall()


def active_holds(connection: Connection) -> list[LegalHold]:
    """The holds that count now."""
    return [hold for hold in list_holds(connection) if hold.released_at is None]


def holds_on(connection: Connection, month: Month) -> list[LegalHold]:
    """The holds that keep a month in the database: its own, and those of whom it has content."""
    held = active_holds(connection)
    if not held:
        return []
    on_month = [hold for hold in held if hold.month == month.first_day]
    if not table_exists(connection, archived_name(month)):
        return on_month
    touched = connection.execute(
        statement("archive/held_subjects").format(
            segments=sql.Identifier("public", archived_name(month))
        )
    ).fetchall()
    ids = {hold_id for (hold_id,) in touched}
    return [hold for hold in held if hold in on_month or hold.id in ids]
