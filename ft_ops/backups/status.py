"""What is known of the backups: which was restored last, the newest of each kind, the drill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

from psycopg.rows import class_row

from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.ages import NEWEST_AGE, is_late, is_without_proof
from ft_ops.backups.inventory.doubts import doubts
from ft_ops.backups.inventory.verified import newest_verified_backup
from ft_ops.format import human_duration
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.standing import Point, Standing, Status, asked

_AREA: Final = "backups"
_HISTORY: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class DrillAttempt:
    """One restore that was tried. A drill whose run died showed nothing."""

    started_at: datetime
    finished_at: datetime | None
    state: Literal["passed", "failed", "died"]
    backup: str | None
    recovery_seconds: float | None
    loss_seconds: float | None
    error: str | None


def standings(connection: Connection, _settings: Settings, now: datetime) -> list[Standing]:
    """The newest verified backup, the newest of each kind, and the last drill."""
    questions = (
        ("last good backup", _verified, "drill_restore"),
        ("newest backups", _newest, "verify_backups"),
        ("last restore drill", _last_drill, "drill_restore"),
        ("backups to look at", _to_look_at, "backups_verified"),
    )
    return [
        standing
        for what, question, section in questions
        for standing in asked(_AREA, what, partial(question, connection, now), section=section)
    ]


def _verified(connection: Connection, now: datetime) -> Iterator[Standing]:
    verified = newest_verified_backup(connection)
    if verified is None:
        yield _nothing(connection, "last good backup", now)
        return
    is_old = is_without_proof(verified.verified_at, now)
    yield Standing(
        _AREA,
        "last good backup",
        Status.BAD if is_old else Status.GOOD,
        f"{human_duration((now - verified.restored_to).total_seconds())} old",
        f"{verified.name}, restored and compared {verified.verified_at:%Y-%m-%d %H:%M} UTC",
        since=verified.verified_at if is_old else None,
        section="drill_restore",
    )


def _newest(connection: Connection, now: datetime) -> Iterator[Standing]:
    rows = connection.execute(statement("backups/backups_at_a_glance"))
    tried: dict[str, tuple[datetime | None, int]] = {
        kind: (point, missing) for kind, point, missing in rows
    }
    for kind in NEWEST_AGE:
        if kind not in tried:
            yield Standing(
                _AREA,
                f"newest {kind}",
                Status.UNKNOWN,
                "none yet",
                "none was ever begun",
                section="verify_backups",
            )
            continue
        newest, missing = tried[kind]
        is_old = is_late(kind, newest, now)
        yield Standing(
            _AREA,
            f"newest {kind}",
            Status.BAD if is_old or missing else Status.GOOD,
            f"{human_duration((now - newest).total_seconds())} old" if newest else "none",
            f"{missing} are missing at the provider" if missing else "",
            since=newest if is_old else None,
            section="verify_backups",
        )


def _last_drill(connection: Connection, now: datetime) -> Iterator[Standing]:
    with connection.cursor(row_factory=class_row(DrillAttempt)) as cursor:
        drills = cursor.execute(
            statement("backups/recent_drills"), {"since": now - _HISTORY}
        ).fetchall()
    if not drills:
        yield _nothing(connection, "last restore drill", now)
        return
    last = drills[-1]
    status, figure, reason = _judged(last)
    yield Standing(
        _AREA,
        "last restore drill",
        status,
        figure,
        reason,
        section="drill_restore",
        history=tuple(
            Point(drill.finished_at, drill.recovery_seconds)
            for drill in drills
            if drill.recovery_seconds is not None and drill.finished_at is not None
        ),
    )


def _to_look_at(connection: Connection, _now: datetime) -> Iterator[Standing]:
    """What drills refuted or could not decide, and what is lost or unread, until a person looks.

    By the ledger alone: what disappeared since it was last listed is not known to it yet.
    """
    found = []
    unknown = 0
    for entry in ledger.entries(connection):
        problem = entry.error if entry.state == "missing" else None
        found += doubts(entry, problem)
        if entry.state != "failed":
            unknown += (entry.undecided is not None) + (entry.unread_refutation is not None)
    status = Status.GOOD
    if found:
        status = Status.UNKNOWN if unknown == len(found) else Status.BAD
    yield Standing(
        _AREA,
        "backups to look at",
        status,
        str(len(found)),
        "; ".join(found),
        section="backups_verified",
    )


def _nothing(connection: Connection, what: str, now: datetime) -> Standing:
    """What no drill has shown yet: bad once the first backup is older than a day."""
    begun_at: datetime | None = one_row(
        connection.execute(statement("backups/first_backup_begun"))
    )[0]
    is_due = begun_at is not None and is_without_proof(begun_at, now)
    return Standing(
        _AREA,
        what,
        Status.BAD if is_due else Status.UNKNOWN,
        "none" if is_due else "none yet",
        "no backup was restored and found whole",
        section="drill_restore",
    )


def _judged(last: DrillAttempt) -> tuple[Status, str, str]:
    ended = f"{last.finished_at or last.started_at:%Y-%m-%d %H:%M}"
    if last.state == "failed":
        return Status.BAD, f"refuted {ended}", last.error or ""
    if last.state == "died":
        return Status.UNKNOWN, f"no verdict, begun {ended}", last.error or "its run died"
    loss = human_duration(last.loss_seconds or 0.0)
    return (
        Status.GOOD,
        f"back in {human_duration(last.recovery_seconds or 0.0)}",
        f"{ended} UTC; {loss} of changes would be lost",
    )
