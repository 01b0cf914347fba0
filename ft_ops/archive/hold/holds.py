"""Legal holds: what may not be deleted, edited, moved, purged or erased while one stands.

The database itself refuses (sql/migrations/0011_legal_holds.up.sql says what counts as held); here
they are placed, released and asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeAlias, TypedDict
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.archive.hold.subjects import refuse_unknown
from ft_ops.archive.month.content import ARCHIVED, HOT, archived_name, hot_name
from ft_ops.archive.month.relation import attached_relation, named_relation
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

HoldKind: TypeAlias = Literal["month", "family", "book", "thread", "user"]


class HeldSubject(TypedDict):
    """What a hold is on: exactly one of them, the others None."""

    month: Month | None
    family_id: UUID | None
    book_id: UUID | None
    thread_id: UUID | None
    user_id: UUID | None


@dataclass(frozen=True, slots=True)
class LegalHold:
    """One hold on exactly one month, family, book, thread or user.

    ``archived_months`` are those of the archive that held the subject's content when it was
    searched, None before. ``unlisted_months`` are those of which it was not known then what their
    links lead to.
    """

    id: int
    month: date | None
    family_id: UUID | None
    book_id: UUID | None
    thread_id: UUID | None
    user_id: UUID | None
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None
    release_reason: str | None
    archived_months: list[date] | None
    archives_read_at: datetime | None
    unlisted_months: list[date] | None

    @property
    def kind(self) -> HoldKind:
        if self.month is not None:
            return "month"
        if self.family_id is not None:
            return "family"
        if self.book_id is not None:
            return "book"
        return "thread" if self.thread_id is not None else "user"

    @property
    def subject_id(self) -> UUID | None:
        """What is held, None for a month."""
        return self.family_id or self.book_id or self.thread_id or self.user_id

    @property
    def subject(self) -> str:
        held = Month.of(self.month) if self.month is not None else self.subject_id
        return f"{self.kind} {held}"

    def __str__(self) -> str:
        return f"hold {self.id} on {self.subject} ({self.reason})"


def add_hold(
    connection: Connection,
    *,
    month: Month | None = None,
    family_id: UUID | None = None,
    book_id: UUID | None = None,
    thread_id: UUID | None = None,
    user_id: UUID | None = None,
    reason: str,
    person: str | None = None,
    force: bool = False,
) -> LegalHold:
    """Place a hold on exactly one subject; when this returns, nobody gets past it.

    Refused when nobody knows the subject, unless ``force``. ``person`` is who asked for it. An
    OpsError that names the open transactions when they don't end: they changed content before, and
    it is unknown what of it is held.
    """
    subject = HeldSubject(
        month=month, family_id=family_id, book_id=book_id, thread_id=thread_id, user_id=user_id
    )
    return add_searched_hold(connection, subject, (), reason=reason, person=person, force=force)


def add_searched_hold(
    connection: Connection,
    subject: HeldSubject,
    archived: Sequence[tuple[str, bool, Sequence[UUID]]],
    *,
    reason: str,
    person: str | None,
    force: bool,
) -> LegalHold:
    """Place a hold, and let stay from the same moment on what archives are known to have of it.

    ``archived`` is that, by kind, and whether all of it is held.
    """
    if not reason.strip() or len([one for one in subject.values() if one is not None]) != 1:
        raise Refused(
            "legal hold",
            cause="it needs exactly one month, family, book, thread or user, and a reason",
            next_step="say what is held, and why",
        )
    _refuse_nobody(person)
    month = subject["month"]
    values = {
        **subject,
        "month": month and month.first_day,
        "reason": reason.strip(),
        "person": person,
    }
    if not force:
        refuse_unknown(
            connection,
            month=month,
            ids={
                "family": subject["family_id"],
                "book": subject["book_id"],
                "thread": subject["thread_id"],
                "user": subject["user_id"],
            },
        )

    def place() -> LegalHold:
        with connection.transaction():
            [[number]] = connection.execute(statement("archive/next_hold")).fetchall()
            # Before the lock that placing it takes.
            for kind, whole, ids in archived:
                connection.execute(
                    statement("archive/record_archived_subjects"),
                    {"kind": kind, "hold": number, "whole": whole, "ids": ids},
                )
            hold = _one(connection, "archive/add_hold", {**values, "id": number})
            assert hold is not None
            _audit(connection, "hold.add", hold, {})
            return hold

    hold = _once_content_rests(connection, "legal hold", place)
    connection.execute(statement("archive/analyze_held"))
    return hold


def _refuse_nobody(person: str | None) -> None:
    if person is not None and not person.strip():
        raise Refused(
            "legal hold",
            cause="the name of who asked for it is empty",
            next_step="name a person by --by, or leave it out if you asked for it",
        )


def release_hold(
    connection: Connection,
    hold_id: int,
    reason: str,
    *,
    person: str | None = None,
) -> LegalHold:
    """End a hold; it stays listed, with who released it and why."""
    what = f"legal hold {hold_id}"
    if not reason.strip():
        raise Refused(what, cause="a release needs a reason", next_step="say why it ends")
    _refuse_nobody(person)
    values = {"id": hold_id, "reason": reason.strip(), "person": person}

    def release() -> LegalHold:
        with connection.transaction():
            hold = _one(connection, "archive/release_hold", values)
            if hold is None:
                raise Refused(
                    what,
                    cause=_why_not_released(connection, hold_id),
                    next_step="see them with: ft-ops hold list",
                )
            _audit(connection, "hold.release", hold, {"reason": hold.release_reason})
            return hold

    return _once_content_rests(connection, what, release)


def list_holds(connection: Connection) -> list[LegalHold]:
    """Every hold, released ones too, oldest first."""
    with connection.cursor(row_factory=class_row(LegalHold)) as cursor:
        return cursor.execute(statement("archive/list_holds")).fetchall()


def active_holds(connection: Connection) -> list[LegalHold]:
    """The holds that count now."""
    return [hold for hold in list_holds(connection) if hold.released_at is None]


def held_months(connection: Connection, hold: LegalHold) -> list[Month]:
    """The months in the database, hot or archived, that hold a standing hold's content."""
    if hold.month is not None:
        return [Month.of(hold.month)]
    rows = connection.execute(
        statement("archive/held_months"), {"id": hold.id, "user_id": hold.user_id}
    ).fetchall()
    return [Month.of(month) for (month,) in rows]


def holds_on(
    connection: Connection, month: Month, segments: sql.Identifier | None = None
) -> list[LegalHold]:
    """The holds that keep a month in the database.

    Its own, those of whom it has content, and those on what its links lead to. ``segments`` is
    the table to look into, by default the archived month's, else the hot one's.
    """
    held = active_holds(connection)
    if not held:
        return []
    segments = segments or _table_of(connection, month)
    ids: set[int] = set()
    if segments is not None:
        ids = _ids(connection, "archive/holds_on_segments", segments)
        ids = ids or _ids(connection, "archive/holds_on_links", segments)
    return [hold for hold in held if hold.month == month.first_day or hold.id in ids]


def changes_of_holds(connection: Connection) -> int:
    """How often a hold was placed or released so far: whether one was, since it was asked last."""
    [[changes]] = connection.execute(statement("archive/changes_of_holds")).fetchall()
    return int(changes)


def guard_segments(connection: Connection, table: sql.Identifier) -> None:
    """Let holds protect a month's table that is about to be detached, or stands alone.

    Under a short lock_timeout.
    """
    connection.execute(
        statement("archive/guard_segments"), {"segments": table.as_string(connection)}
    )


def one_hold(connection: Connection, query: str, values: dict[str, Any]) -> LegalHold | None:
    """The hold that a statement with RETURNING changed, None when there was none."""
    return _one(connection, query, values)


def _table_of(connection: Connection, month: Month) -> sql.Identifier | None:
    for parent, name in ((ARCHIVED, archived_name(month)), (HOT, hot_name(month))):
        found = attached_relation(connection, parent, month) or named_relation(connection, name)
        if found is not None:
            return found.identifier
    return None


def _ids(connection: Connection, query: str, segments: sql.Composable) -> set[int]:
    rows = connection.execute(statement(query).format(segments=segments)).fetchall()
    return {hold_id for (hold_id,) in rows}


def _one(connection: Connection, query: str, values: dict[str, Any]) -> LegalHold | None:
    with connection.cursor(row_factory=class_row(LegalHold)) as cursor:
        return cursor.execute(statement(query), values).fetchone()


def _once_content_rests(
    connection: Connection, what: str, change: Callable[[], LegalHold]
) -> LegalHold:
    """Change a hold once no open transaction has changed content; never waits long for one."""
    try:
        return with_escalating_lock_timeout(connection, what, change)
    except OpsError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        found = connection.execute(statement("archive/changing_content")).fetchall()
        if not found:
            raise
        who = ", ".join(f"pid {pid} ({user}, {name or 'unnamed'})" for pid, user, name in found)
        raise OpsError(
            what,
            cause=f"transactions that have changed content are open: {who}",
            next_step="wait for them, or end them with pg_terminate_backend(pid), and run again: "
            "nothing was changed",
        ) from error


def _why_not_released(connection: Connection, hold_id: int) -> str:
    known = {hold.id: hold for hold in list_holds(connection)}
    if hold_id not in known:
        return "there is no such hold"
    hold = known[hold_id]
    return f"it was released before, by {hold.released_by} on {hold.released_at:%Y-%m-%d %H:%M} UTC"


def _audit(
    connection: Connection, action: str, hold: LegalHold, details: dict[str, object]
) -> None:
    who = hold.released_by or hold.placed_by
    write_audit(
        connection,
        action,
        "ops.legal_holds",
        {"hold": hold.id, "subject": hold.subject, "by": who, **details},
    )
