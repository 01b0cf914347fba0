"""What is known of the archive: its months, which are overdue or stopped, which are thawed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

from psycopg.rows import class_row

from ft_ops.archive.audit.months import due_audit_months
from ft_ops.archive.hold.holds import list_holds
from ft_ops.archive.month.in_states import all_in_states
from ft_ops.archive.month.ledger import months_by_state
from ft_ops.archive.month.states import STORED
from ft_ops.archive.move.preflight import due_months, due_on
from ft_ops.format import human_bytes, human_duration
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.standing import Standing, Status, asked

_AREA: Final = "archive"
_PATIENCE: Final = timedelta(days=3)
"""How long a month may be due, or archived and unproven, before it is no longer just at work."""
_DONE: Final = STORED | {"superseded"}


@dataclass(frozen=True, slots=True)
class NewestGeneration:
    """What the ledger says of one month."""

    month: date
    generation: int
    state: str
    bytes: int
    archived_at: datetime | None
    proven_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class OpenThaw:
    """A month that is asked back, or stands in the database again."""

    month: date
    state: str
    purpose: str
    requested_at: datetime
    expires_at: datetime | None
    error: str | None


def standings(connection: Connection, settings: Settings, now: datetime) -> list[Standing]:
    """States of the archive, months that are overdue, the oldest that is unproven, thaws."""
    return [
        *asked(
            _AREA,
            "months in the archive",
            partial(_months, connection, now),
            section="archive_old_content",
        ),
        *asked(
            _AREA,
            "second copy",
            partial(_second_copy, connection, settings),
            section="archive_replica_is_complete",
        ),
        *asked(
            _AREA,
            "months of the audit log",
            partial(_audit_log, connection, settings, now),
            section="archive_audit_log",
        ),
        *asked(
            _AREA,
            "months past their retention",
            partial(_due, connection, settings, now),
            section="archive_old_content",
        ),
        *asked(
            _AREA,
            "months asked back",
            partial(_thaws, connection, now),
            section="thaw_archived_content",
        ),
    ]


def stored_bytes(connection: Connection) -> dict[str, int]:
    """Bytes in the archive's bucket by storage class, as the ledger knows them."""
    return dict(connection.execute(statement("archive/stored_bytes")).fetchall())


def _months(connection: Connection, now: datetime) -> Iterator[Standing]:
    with connection.cursor(row_factory=class_row(NewestGeneration)) as cursor:
        newest = cursor.execute(statement("archive/newest_generations")).fetchall()
    states = Counter(generation.state for generation in newest)
    held = sum(hold.released_at is None for hold in list_holds(connection))
    yield Standing(
        _AREA,
        "months in the archive",
        Status.GOOD,
        f"{len(newest)} ({human_bytes(sum(g.bytes for g in newest))})",
        ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        + (f"; {held} legal holds" if held else ""),
    )
    yield _unproven(newest, now)
    yield _stopped(newest)


def _second_copy(connection: Connection, settings: Settings) -> Iterator[Standing]:
    """Where it is to be; whether it is whole, a check of its own says."""
    purged = len(months_by_state(connection, ("purged",)))
    name = settings.archive_replica_bucket
    is_alone = name is None and purged > 0
    yield Standing(
        _AREA,
        "second copy",
        Status.WARNING if is_alone else Status.GOOD,
        name or "none",
        f"{purged} purged months are in one bucket alone" if is_alone else "",
        section="archive_replica_is_complete",
    )


def _audit_log(connection: Connection, settings: Settings, now: datetime) -> Iterator[Standing]:
    """Months whose time has come, and which are neither proven nor were brought back for a time."""
    years = settings.audit_retention_years
    proven = {g.month for g in all_in_states(connection, STORED, "audit_archive")}
    late = [
        month
        for month in due_audit_months(connection, years, now - _PATIENCE)
        if month not in proven
    ]
    yield Standing(
        _AREA,
        "months of the audit log",
        Status.BAD if late else Status.GOOD,
        f"{len(proven)} archived",
        f"{late[0]} should have been archived" if late else "",
        since=due_on(late[0], years) if late else None,
        section="archive_audit_log",
    )


def _unproven(newest: Sequence[NewestGeneration], now: datetime) -> Standing:
    what = "oldest unproven archive"
    unproven = [
        (g.archived_at, g)
        for g in newest
        if g.archived_at and not g.proven_at and g.state not in _DONE
    ]
    if not unproven:
        return Standing(_AREA, what, Status.GOOD, "none")
    since, oldest = min(unproven, key=lambda item: item[0])
    return Standing(
        _AREA,
        what,
        Status.BAD if now - since > _PATIENCE else Status.WARNING,
        f"{oldest.month:%Y-%m}",
        f"{oldest.state} for {human_duration((now - since).total_seconds())}",
        since=since,
        section="archive_old_content",
    )


def _stopped(newest: Sequence[NewestGeneration]) -> Standing:
    what = "months stopped by an error"
    stopped = [g for g in newest if g.error and g.state not in _DONE]
    if not stopped:
        return Standing(_AREA, what, Status.GOOD, "none")
    return Standing(
        _AREA,
        what,
        Status.BAD,
        str(len(stopped)),
        f"{stopped[0].month:%Y-%m}: {stopped[0].error}",
        section="archive_old_content",
    )


def _due(connection: Connection, settings: Settings, now: datetime) -> Iterator[Standing]:
    due = sorted(due_months(connection, settings.retention_years, now))
    ends = [(due_on(month, settings.retention_years), month) for month in due]
    overdue = [(end, month) for end, month in ends if end < now - _PATIENCE]
    yield Standing(
        _AREA,
        "months past their retention",
        Status.BAD if overdue else Status.GOOD,
        str(len(due)),
        f"{overdue[0][1]} should have been archived" if overdue else "",
        since=overdue[0][0] if overdue else None,
        section="archive_old_content",
    )


def _thaws(connection: Connection, now: datetime) -> Iterator[Standing]:
    with connection.cursor(row_factory=class_row(OpenThaw)) as cursor:
        thaws = cursor.execute(statement("archive/thaws_at_a_glance")).fetchall()
    stuck = [thaw for thaw in thaws if _stands_still(thaw, now)]
    yield Standing(
        _AREA,
        "months asked back",
        Status.BAD if stuck else Status.GOOD,
        str(len(thaws)) if thaws else "none",
        "; ".join(f"{thaw.month:%Y-%m} {thaw.state}" for thaw in stuck or thaws)
        + (f": {stuck[0].error}" if stuck and stuck[0].error else ""),
        since=min((thaw.requested_at for thaw in stuck), default=None),
        section="thaw_archived_content",
    )


def _stands_still(thaw: OpenThaw, now: datetime) -> bool:
    """Whether nobody is likely to be at work on it any more. Glacier takes two days at most."""
    if thaw.error is not None:
        return True
    if thaw.state == "thawed":
        return thaw.expires_at is not None and now - thaw.expires_at > _PATIENCE
    return now - thaw.requested_at > _PATIENCE
